"""The readable twin of the compiled core: the same results by the shortest way, however slow. The oracle of its tests.

It knows nothing of tables, caches or windows: text is prepared, split by the pattern with the `regex` package, taken
apart into symbols, and the best pair is merged until none is left.
"""

from __future__ import annotations

from itertools import pairwise

import regex

from mistral_tok.vocab import NEVER, SPACE, Kind, Vocabulary


class Reference:
    """Encodes and decodes with a vocabulary, step by step as the rules say.

    >>> from mistral_tok.load import bundled_path, read
    >>> Reference(read(bundled_path("v3"))).encode("Hello")
    [23325]
    """

    def __init__(self, vocab: Vocabulary) -> None:
        self.vocab = vocab
        self.marked = vocab.family == "sentencepiece"
        mergeable = {Kind.NORMAL} if self.marked else {Kind.NORMAL, Kind.BYTE}
        self.ids = {p: i for i, (p, k) in enumerate(zip(vocab.pieces, vocab.kinds, strict=True)) if k in mergeable}
        self.bytes = {vocab.pieces[i]: i for i, kind in enumerate(vocab.kinds) if kind == Kind.BYTE}
        defined = [i for i, kind in enumerate(vocab.kinds) if kind == Kind.USER_DEFINED]
        self.user_defined = sorted(defined, key=lambda i: -len(vocab.pieces[i]))
        self.listed = {
            (left, right): (rank, made) for rank, (left, right, made) in reversed(list(enumerate(vocab.merges or ())))
        }
        self.pattern = regex.compile(vocab.pattern) if vocab.pattern else None

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text without surrogates."""
        out: list[int] = []
        start = at = 0
        while at < len(text):
            mark = next((i for i in self.user_defined if text.startswith(self.vocab.pieces[i].decode(), at)), None)
            if mark is None:
                at += 1
                continue
            out += [*self._part(text[start:at], start == 0), mark]
            at += len(self.vocab.pieces[mark].decode())
            start = at
        return out + (self._part(text[start:], start == 0) if text else [])

    def _part(self, text: str, first: bool) -> list[int]:
        """Encode text between user-defined pieces; the dummy space comes before the first part, or every one."""
        every = self.vocab.config.get("prefix_scope") == "segment"
        prefix = {"never": "", "always": " ", "unless-space": "" if text.startswith((" ", SPACE)) else " "}[
            self.vocab.prefix
        ]
        if (text or not every) and (every or first) and (text or self.vocab.prefix == "always"):
            text = prefix + text
        if self.marked:
            text = text.replace(" ", SPACE)
        return [i for segment in self._segments(text) for i in self._merge(segment)]

    def _segments(self, text: str) -> list[str]:
        """Split as the vocabulary says; text that its pattern does not match is a segment of its own, or dropped."""
        if self.vocab.split_spaces:
            return [m.group() for m in regex.finditer(f"{SPACE}[^{SPACE}]*|[^{SPACE}]+", text)]
        if self.pattern is None:
            return [text] if text else []
        found, at = [], 0
        for match in self.pattern.finditer(text):
            found += [text[at : match.start()], match.group()]
            at = match.end()
        found.append(text[at:])
        return [s for s in (found[1::2] if self.vocab.config.get("unmatched") == "drop" else found) if s]

    def _merge(self, segment: str) -> list[int]:
        if self.vocab.whole_pieces and segment.encode() in self.ids:
            return [self.ids[segment.encode()]]
        symbols = [c.encode() for c in segment] if self.marked else [bytes([b]) for b in segment.encode()]
        while True:
            ranked = [(self._rank(a, b), i) for i, (a, b) in enumerate(pairwise(symbols))]
            rank, i = min(ranked, default=(NEVER, 0))
            if rank == NEVER:
                break
            symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
        return [i for s in symbols for i in self._ids(s)]

    def _rank(self, left: bytes, right: bytes) -> int:
        if self.vocab.merges is not None:
            return self.listed.get((self.ids.get(left, -1), self.ids.get(right, -1)), (NEVER, 0))[0]
        made = self.ids.get(left + right)
        return NEVER if made is None else self.vocab.ranks[made]

    def _ids(self, symbol: bytes) -> list[int]:
        """Return the id of a symbol, or those of its bytes when it is no piece."""
        return [self.ids[symbol]] if symbol in self.ids else [self.bytes[bytes([b])] for b in symbol]

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids, control ids left out, under the rules of the official libraries."""
        return self._decode_marked(ids) if self.marked else self._decode_bytes(ids)

    def _decode_bytes(self, ids: list[int]) -> str:
        runs = [b""]
        for i in ids:
            if self.vocab.kinds[i] == Kind.CONTROL:
                runs.append(b"")
            else:
                runs[-1] += self.vocab.pieces[i]
        return "".join(run.decode("utf-8", "replace") for run in runs)

    def _decode_marked(self, ids: list[int]) -> str:
        text, run, at_start = "", b"", self.vocab.prefix != "never"
        for i in [*ids, None]:
            kind = None if i is None else self.vocab.kinds[i]
            if i is not None and kind == Kind.BYTE:
                run += self.vocab.pieces[i]
                at_start = False
                continue
            text += _decode_run(run)
            run = b""
            if i is None or kind == Kind.CONTROL:
                continue
            piece = " \u2047 " if kind == Kind.UNKNOWN else self.vocab.pieces[i].decode().replace(SPACE, " ")
            text += piece[1:] if at_start and kind != Kind.UNKNOWN and piece.startswith(" ") else piece
            at_start = False
        return text


def _decode_run(run: bytes) -> str:
    """Decode byte pieces, one U+FFFD for every byte that is part of no character."""
    text = ""
    while run:
        for size in (1, 2, 3, 4):
            try:
                text += run[:size].decode()
                run = run[size:]
                break
            except UnicodeDecodeError:
                continue
        else:
            text += "\ufffd"
            run = run[1:]
    return text
