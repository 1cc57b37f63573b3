"""Texts of any size to ids, without holding either: files are read, encoded and handed on a part at a time.

A document is a file, or one of its lines. Small ones are encoded many at once. One that grows beyond `PART` characters
is cut where no id can change (`cuts.py`) and encoded in parts; only where it has no such place is it held until there
is one. Reading, encoding, and what the caller does with the ids run at the same time.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from mistral_tok.cuts import Cut
from mistral_tok.errors import TextFileError
from mistral_tok.parallel import ahead

if TYPE_CHECKING:
    import numpy as np

    from mistral_tok.tokenizer import Tokenizer

BLOCK = 1 << 18
"""Bytes that are read at once."""

PART = 1 << 18
"""Characters from which a document is cut."""

BATCH = 1 << 23
"""Characters that are encoded at once."""


class Source(NamedTuple):
    """Bytes of UTF-8 under a name that errors give."""

    name: str
    open: Callable[[], AbstractContextManager[BinaryIO]]


class Batch(NamedTuple):
    """Whole documents, or parts of one; each part but the document's first repeats the character before it."""

    texts: list[str]
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
    batches = ahead(_batches(sources, lines, tokenizer.safe_cut(), progress))
    return ahead(_encode_all(tokenizer, batches, bos, eos, threads))


def _encode_all(
    tokenizer: Tokenizer, batches: Generator[Batch], bos: bool, eos: bool, threads: int | None
) -> Generator[Encoded]:
    with closing(batches):
        for batch in batches:
            yield _encode(tokenizer, batch, bos, eos, threads)


def _encode(tokenizer: Tokenizer, batch: Batch, bos: bool, eos: bool, threads: int | None) -> Encoded:
    import numpy as np

    if not batch.parts:
        ids, splits = tokenizer.encode_ragged(batch.texts, bos=bos, eos=eos, threads=threads)
        return Encoded(ids, splits[1:])
    ids, splits = tokenizer.encode_ragged(batch.texts, threads=threads)
    found: list[np.ndarray] = []
    for i, text in enumerate(batch.texts):
        repeated = 0 if batch.begins and i == 0 else tokenizer.count(text[0])
        found.append(ids[splits[i] + repeated : splits[i + 1]])
    if batch.begins and bos:
        found.insert(0, np.array([tokenizer.bos_id], np.int32))
    if batch.ends and eos:
        found.append(np.array([tokenizer.eos_id], np.int32))
    joined = np.concatenate(found)
    return Encoded(joined, np.array([joined.size] * batch.ends, np.int64))


def _batches(
    sources: Iterable[Source], lines: bool, cut: Cut | None, progress: Callable[[int], object] | None
) -> Generator[Batch]:
    """Gather documents, and parts of large ones, into batches of about `BATCH` characters."""
    whole: list[str] = []
    size = 0
    for document in _documents(sources, lines, cut, progress):
        if isinstance(document, Batch):
            if whole:
                yield Batch(whole, False, True, True)
                whole, size = [], 0
            yield document
            continue
        whole += document
        size += sum(map(len, document)) + len(document)
        if size >= BATCH:
            yield Batch(whole, False, True, True)
            whole, size = [], 0
    if whole:
        yield Batch(whole, False, True, True)


def _documents(
    sources: Iterable[Source], lines: bool, cut: Cut | None, progress: Callable[[int], object] | None
) -> Iterator[list[str] | Batch]:
    """Yield lists of whole documents, and batches of parts of large ones."""
    for source in sources:
        large = _Large(cut)
        for block in _read(source, progress):
            first, *rest = block.split("\n") if lines else (block,)
            yield from large.add(first)
            if rest:
                yield from large.end()
                yield rest[:-1]
                yield from large.add(rest[-1])
        if not lines or large.begun():
            yield from large.end()


class _Large:
    """The document that is being read: what of it has not been handed on."""

    def __init__(self, cut: Cut | None) -> None:
        self._cut = cut
        self._start()

    def _start(self) -> None:
        self._held: list[str] = []
        self._size = 0
        self._parts: list[str] = []
        self._parts_size = 0
        self._is_cut = self._is_sent = False

    def begun(self) -> bool:
        """Tell whether anything was read of the document."""
        return self._size > 0

    def add(self, block: str) -> Iterator[Batch]:
        """Read on; yield parts when there are enough of them."""
        self._held.append(block)
        self._size += len(block)
        place = self._cut(block) if self._cut is not None and self._size >= PART else 0
        if not place:
            return
        part = "".join([*self._held[:-1], block[:place]])
        self._held = [block[place - 1 :]]
        self._size = len(self._held[0])
        self._parts.append(part)
        self._parts_size += len(part)
        self._is_cut = True
        if self._parts_size >= BATCH:
            yield self._send(ends=False)

    def end(self) -> Iterator[list[str] | Batch]:
        """Yield what is left of the document, and begin another."""
        last = "".join(self._held)
        if self._is_cut:
            self._parts.append(last)
            yield self._send(ends=True)
        else:
            yield [last]
        self._start()

    def _send(self, ends: bool) -> Batch:
        batch = Batch(self._parts, True, not self._is_sent, ends)
        self._parts, self._parts_size, self._is_sent = [], 0, True
        return batch


def _read(source: Source, progress: Callable[[int], object] | None) -> Iterator[str]:
    """Yield a file's text in blocks."""
    done = 0
    data = b""
    with source.open() as file:
        while True:
            block = file.read(BLOCK)
            data += block
            try:
                text, used = codecs.utf_8_decode(data, "strict", not block)
            except UnicodeDecodeError as error:
                at = done + error.start
                raise TextFileError(
                    f"{source.name}: not UTF-8 at byte {at} (0x{data[error.start]:02X}); convert it to UTF-8 first."
                ) from None
            done += used
            data = data[used:]
            if text:
                yield text
            if not block:
                return
            if progress is not None:
                progress(len(block))
