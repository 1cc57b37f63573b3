"""Texts of any size to ids, without holding either: files are read, encoded and handed on a part at a time.

A document is a file, or one of its lines. Small ones are encoded many at once. One that grows beyond `PART` bytes
is cut where no id can change (`cuts.py`) and encoded in parts; only where it has no such place is it held until there
is one. Reading, encoding, and what the caller does with the ids run at the same time. What was read is checked and
encoded as it is, without making strings of it.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from mistral_tok.core.parts import valid_size
from mistral_tok.cuts import Cut
from mistral_tok.errors import TextFileError
from mistral_tok.parallel import ahead, check_threads

if TYPE_CHECKING:
    import numpy as np

    from mistral_tok.tokenizer import Tokenizer

BLOCK = 1 << 18
"""Bytes that are read at once."""

PART = 1 << 18
"""Bytes from which a document is cut."""

BATCH = 1 << 23
"""Bytes that are encoded at once, at most."""

SHARE = 1 << 20
"""Bytes of the first batch of whole documents, so that encoding soon begins, and for each thread of the ones after it.

Each is twice as large as the last, until it has two shares or as many as there are threads. What has been read is
still in the cache then when it is encoded: lines, on one or two threads, are 1.1 times as fast as with `BATCH`.
"""

REACHES = (1 << 11, 1 << 16)
"""Bytes from the end of a block on in which a place to cut is looked for, first near the end."""


class Source(NamedTuple):
    """Bytes of UTF-8 under a name that errors give."""

    name: str
    open: Callable[[], AbstractContextManager[BinaryIO]]


class Batch(NamedTuple):
    """Whole documents, or parts of one; each part but the document's first repeats the character before it.

    Where lines are documents, a text that is no part is one of them or several.
    """

    texts: list[bytes]
    parts: bool
    begins: bool
    ends: bool


class Encoded(NamedTuple):
    """Ids of consecutive documents, and where they end among these; the last one may go on in what follows."""

    ids: np.ndarray
    """int32, shape (n,)."""
    ends: np.ndarray
    """int64, shape (documents that end here,)."""


def encode_files(
    tokenizer: Tokenizer,
    sources: Iterable[Source],
    *,
    lines: bool = False,
    bos: bool = False,
    eos: bool = False,
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Generator[Encoded]:
    """Yield the ids of all documents in order: exactly those of `tokenizer.encode(document, bos=bos, eos=eos)`.

    With `lines` every line is a document; its line end, a newline, is no part of it, and the one at the end of a
    file begins no further line. `progress` is called in another thread with the number of bytes that were read.
    Raises `TextFileError` with the source's name and the place in it for what is not UTF-8.
    """
    tokenizer.encode("", bos=bos, eos=eos)  # raises here and now if there is no such id
    check_threads(threads)
    most = min(BATCH, SHARE * max(2, threads or os.cpu_count() or 1))
    batches = ahead(_batches(sources, lines, tokenizer.safe_cut(), most, progress))
    return _each(ahead(_encode_all(tokenizer, batches, (bos, eos), lines, threads)))


def _each(lists: Generator[list[Encoded]]) -> Generator[Encoded]:
    with closing(lists):
        for found in lists:
            yield from found


def _encode_all(
    tokenizer: Tokenizer, batches: Generator[Batch], marks: tuple[bool, bool], lines: bool, threads: int | None
) -> Generator[list[Encoded]]:
    with closing(batches):
        for batch in batches:
            yield _encode(tokenizer, batch, marks, lines, threads)


def _encode(
    tokenizer: Tokenizer, batch: Batch, marks: tuple[bool, bool], lines: bool, threads: int | None
) -> list[Encoded]:
    import numpy as np

    bos, eos = marks
    if not batch.parts:
        chunks = tokenizer.encode_utf8(batch.texts, bos=bos, eos=eos, threads=threads, lines=lines)
        return [Encoded(ids, ends) for ids, ends in chunks]
    none = np.zeros(0, np.int64)
    found = [Encoded(np.array([tokenizer.bos_id], np.int32), none)] if batch.begins and bos else []
    at = 0
    for ids, ends in tokenizer.encode_utf8(batch.texts, bos=False, eos=False, threads=threads):
        for start, end in pairwise([0, *ends.tolist()]):
            repeated = 0 if batch.begins and at == 0 else tokenizer.count(_first(batch.texts[at]))
            found.append(Encoded(ids[start + repeated : end], none))
            at += 1
    if batch.ends and eos:
        found.append(Encoded(np.array([tokenizer.eos_id], np.int32), none))
    if batch.ends:
        found[-1] = Encoded(found[-1].ids, np.array([found[-1].ids.size], np.int64))
    return found


def _first(text: bytes) -> str:
    """The first character of a text."""
    lead = text[0]
    return text[: 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4].decode()


def _batches(
    sources: Iterable[Source], lines: bool, cut: Cut | None, most: int, progress: Callable[[int], object] | None
) -> Generator[Batch]:
    """Gather documents into batches of about `most` bytes, smaller ones at first, and pass on parts of large ones."""
    whole: list[bytes] = []
    size, enough = 0, min(SHARE, most)
    for document in _documents(sources, lines, cut, progress):
        if isinstance(document, Batch):
            if whole:
                yield Batch(whole, False, True, True)
                whole, size = [], 0
            yield document
            continue
        whole.append(document)
        size += len(document) + 1
        if size >= enough:
            yield Batch(whole, False, True, True)
            whole, size, enough = [], 0, min(2 * enough, most)
    if whole:
        yield Batch(whole, False, True, True)


def _documents(
    sources: Iterable[Source], lines: bool, cut: Cut | None, progress: Callable[[int], object] | None
) -> Iterator[bytes | Batch]:
    """Yield whole documents, or several lines at once, and batches of parts of large ones."""
    for source in sources:
        large = _Large(cut)
        for block in _read(source, progress):
            end = block.find(b"\n") if lines else -1
            yield from large.add(block if end < 0 else block[:end])
            if end >= 0:
                yield from large.end()
                last = block.rfind(b"\n")
                if last > end:
                    yield block[end + 1 : last]
                yield from large.add(block[last + 1 :])
        if not lines or large.begun():
            yield from large.end()


class _Large:
    """The document that is being read: what of it has not been handed on."""

    def __init__(self, cut: Cut | None) -> None:
        self._cut = cut
        self._start()

    def _start(self) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self._parts: list[bytes] = []
        self._parts_size = 0
        self._is_cut = self._is_sent = False

    def begun(self) -> bool:
        """Tell whether anything was read of the document."""
        return self._size > 0

    def add(self, block: bytes) -> Iterator[Batch]:
        """Read on; yield parts when there are enough of them."""
        self._held.append(block)
        self._size += len(block)
        if self._cut is None or self._size < PART:
            return
        before, place = _place(self._cut, block)
        if not place:
            return
        part = b"".join([*self._held[:-1], block[:place]])
        self._held = [block[before:]]
        self._size = len(self._held[0])
        self._parts.append(part)
        self._parts_size += len(part)
        self._is_cut = True
        if self._parts_size >= BATCH:
            yield self._send(ends=False)

    def end(self) -> Iterator[bytes | Batch]:
        """Yield what is left of the document, and begin another."""
        last = b"".join(self._held)
        if self._is_cut:
            self._parts.append(last)
            yield self._send(ends=True)
        else:
            yield last
        self._start()

    def _send(self, ends: bool) -> Batch:
        batch = Batch(self._parts, True, not self._is_sent, ends)
        self._parts, self._parts_size, self._is_sent = [], 0, True
        return batch


def _place(cut: Cut, block: bytes) -> tuple[int, int]:
    """Where the last character before the last safe place of a block begins, and that place; zeros for none."""
    for reach in REACHES:
        start = max(0, len(block) - reach)
        while start < len(block) and block[start] & 0xC0 == 0x80:
            start += 1
        text = block[start:].decode()
        if place := cut(text):
            end = start + len(text[:place].encode())
            return end - len(text[place - 1].encode()), end
    return 0, 0


def _read(source: Source, progress: Callable[[int], object] | None) -> Iterator[bytes]:
    """Yield a file's text in blocks of whole characters."""
    done = 0
    rest = b""
    with source.open() as file:
        while True:
            block = file.read(BLOCK)
            data = rest + block
            size = valid_size(data)
            rest = data[size:]
            done += size
            try:
                codecs.utf_8_decode(rest[:4], "strict", not block)
            except UnicodeDecodeError:
                raise TextFileError(
                    f"{source.name}: not UTF-8 at byte {done} (0x{rest[0]:02X}); convert it to UTF-8 first."
                ) from None
            if size:
                yield data[:size] if rest else data
            if not block:
                return
            if progress is not None:
                progress(len(block))
