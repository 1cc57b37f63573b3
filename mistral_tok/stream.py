"""Incremental ids to text: what is complete comes out at once, the rest waits."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from mistral_tok.core.decode import Decoder
from mistral_tok.ids import as_ids
from mistral_tok.vocab import Kind

KEEP, RAISE = 1, 2


class StreamDecoder:
    """Turns ids into text as they arrive; made by `Tokenizer.stream`.

    The pushes joined, and `finish` after them, give what `decode` gives for all ids at once, however the ids were
    split. A push holds back the bytes of a character that is not complete yet, and nothing else. (Vocabularies from a
    `tokenizer.json` with byte fallback hold back a whole run of byte pieces, since one bad byte changes all of it.)

    >>> from mistral_tok import Tokenizer
    >>> tokenizer = Tokenizer.bundled("v3")
    >>> stream = tokenizer.stream()
    >>> [stream.push(i) for i in tokenizer.encode("né🦙")] + [stream.finish()]
    ['né', '', '', '', '🦙', '']
    """

    def __init__(self, decoder: Decoder, special: int, strict: bool) -> None:
        self._decoder = decoder
        self._special = special
        self._strict = strict
        self._run: _Bytes | _Characters | _Whole
        if not decoder.marked:
            self._run = _Bytes(strict)
        else:
            self._run = _Whole(strict) if decoder.whole_runs else _Characters(strict)
        self._open = decoder.strip == 1  # the leading space of the next piece is still to be dropped
        self._bare = decoder.strip == 2  # the leading space of the text is still to be dropped
        self._finished = False

    def push(self, ids: object) -> str:
        """Take one id or several (whatever `decode` takes) and return the text that is now complete.

        TypeError and ValueError as in `decode`; with an error nothing of the push is taken.
        """
        if self._finished:
            raise ValueError("This stream is finished; begin a new one with Tokenizer.stream().")
        checked = self._decoder.checked([ids] if type(ids) is int else as_ids(ids), self._special)
        if not self._strict:
            return self._trim("".join(part for i in checked for part in self._take(i)))
        before = self._run.held, self._open
        try:
            return self._trim("".join(part for i in checked for part in self._take(i)))
        except ValueError:
            self._run.held, self._open = before
            raise

    def settle(self) -> str:
        """Return what was held back, although more may follow: the text so far stands as it is."""
        return self._trim(self._run.settle())

    def finish(self) -> str:
        """Return what was held back; nothing can be pushed afterwards."""
        if self._finished:
            return ""
        self._finished = True
        return self.settle()

    def _take(self, i: int) -> Iterable[str]:
        kind, surface = self._decoder.surface(i)
        if kind == Kind.CONTROL:
            if self._special == KEEP or not self._decoder.joins:
                yield self._run.settle()
            if self._special == KEEP:
                yield surface.decode("utf-8", "replace")
        elif not self._decoder.marked or kind == Kind.BYTE:
            self._open = False
            yield self._run.add(surface)
        else:
            yield self._run.settle()
            text = surface.decode()
            yield text[1:] if self._open and kind != Kind.UNKNOWN and text.startswith(" ") else text
            self._open = False

    def _trim(self, text: str) -> str:
        if self._bare and text:
            self._bare = False
            return text[1:] if text.startswith(" ") else text
        return text


class _Bytes:
    """Bytes in a row under Python's rule: one U+FFFD for each longest prefix of a character that does not go on."""

    def __init__(self, strict: bool) -> None:
        self._codec = codecs.getincrementaldecoder("utf-8")("strict" if strict else "replace")

    @property
    def held(self) -> bytes:
        """Bytes that wait for the rest of their character."""
        return self._codec.getstate()[0]

    @held.setter
    def held(self, data: bytes) -> None:
        self._codec.setstate((data, 0))

    def add(self, data: bytes) -> str:
        return self._codec.decode(data)

    def settle(self) -> str:
        text = self._codec.decode(b"", True)
        self._codec.reset()
        return text


class _Characters:
    """Byte pieces under SentencePiece's rule: one U+FFFD for each bad byte."""

    def __init__(self, strict: bool) -> None:
        self._strict = strict
        self.held = b""
        """Bytes that wait for the rest of their character, or of their run."""

    def add(self, data: bytes) -> str:
        """Return the text that is certain by now, bad bytes as U+FFFD or a ValueError; hold a character's start."""
        self.held += data
        out = []
        while self.held:
            try:
                out.append(self.held.decode())
                self.held = b""
            except UnicodeDecodeError as error:
                out.append(self.held[: error.start].decode())
                self.held = self.held[error.start :]
                if error.reason == "unexpected end of data":
                    break
                out.append(self._bad(1))
                self.held = self.held[1:]
        return "".join(out)

    def settle(self) -> str:
        held, self.held = self.held, b""
        return self._bad(len(held))

    def _bad(self, count: int) -> str:
        if count and self._strict:
            raise ValueError("Byte pieces are not valid UTF-8; stream with errors='replace' to allow it.")
        return "\ufffd" * count


class _Whole(_Characters):
    """Byte pieces under the rule of the tokenizers package: a run that is not valid is replaced byte by byte."""

    def add(self, data: bytes) -> str:
        self.held += data
        return ""

    def settle(self) -> str:
        held, self.held = self.held, b""
        try:
            return held.decode()
        except UnicodeDecodeError:
            return self._bad(len(held))
