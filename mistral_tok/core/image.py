"""The table image: everything the compiled core reads, as one block of bytes that can be cached and memory-mapped.

Layout: magic, format number, checksum and section table in a header of 1,024 bytes, then the sections, each at a
multiple of 64. An image is made from a `Vocabulary` by `make_image` and opened by `open_image`, which refuses
anything whose checksum, shape or indices are not right: what passes cannot make the core read out of bounds or loop
for ever.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import compress
from typing import Any, TypeVar

from mistral_tok.core import build, halves, known, tables, trie
from mistral_tok.core.verify import verify
from mistral_tok.errors import VocabularyError
from mistral_tok.vocab import SPACE, Kind, Vocabulary

T = TypeVar("T")

FORMAT = 19
"""Raised whenever the layout or the meaning of a section changes."""

MAGIC = b"mistral-tok " + sys.byteorder.encode().ljust(6)[:6] + b"\0\0"
SECTIONS = [
    "meta",
    "offsets",
    "blob",
    "kinds",
    "chars",
    "itself",
    "piece_hash",
    "pairs",
    "rule_result",
    "rule_rank",
    "ascii_joins",
    "joins",
    "fragment_joins",
    "byte_symbols",
    "class_index",
    "classes",
    "user_defined",
    "pair_ranks",
    "known",
    "halves",
    "trie",
    "trie_pieces",
    "shorter",
]
HEAD = struct.Struct("<20sIQ")
"""Magic, format number, checksum of all that follows."""

HEADER = 1024
PADDING = 64
TEKKEN_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CLASS_BITS = {"U": 1, "L": 2, "B": 3, "M": 1 | 2 | 32 | 64, "N": 4, "S": 8 | 64, "": 32 | 64}
NEWLINE = 8 | 16
CLASSES = bytes([*CLASS_BITS.values(), NEWLINE])


def make_image(vocab: Vocabulary) -> bytes:
    """Turn a vocabulary into a table image. Raises `VocabularyError` when its rules cannot be expressed."""
    marked = vocab.family == "sentencepiece"
    _check_rules(vocab, marked)
    surfaces, extras = _surfaces(vocab, marked)
    n, total = len(vocab.pieces), len(surfaces) + len(extras)
    symbols = surfaces + extras
    if total >= 1 << 20:
        raise VocabularyError(f"{vocab.name}: {total} symbols; at most {(1 << 20) - 1} are supported.")
    offsets, longest = build.offsets(symbols)
    parts: dict[str, bytes | bytearray | array[int]] = {
        "offsets": offsets,
        "blob": b"".join([*symbols, bytes(PADDING)]),
        "kinds": vocab.kinds,
        "chars": array("H", [len(s.decode("utf-8", "replace")) for s in symbols]) if marked else b"",
        "itself": bytes(total),
        "byte_symbols": _byte_symbols(vocab),
        "user_defined": _user_defined(vocab, surfaces),
    }
    take = _take(vocab, marked) + bytes([1]) * len(extras)
    parts["piece_hash"] = build.piece_hash(parts["blob"], parts["offsets"], take)
    parts["class_index"], parts["classes"] = _classes() if vocab.pattern == TEKKEN_PATTERN else (b"", b"")
    parts |= dict.fromkeys(("pairs", "rule_result", "rule_rank", "joins", "ascii_joins", "fragment_joins"), b"")
    parts |= dict.fromkeys(("pair_ranks", "halves", "trie", "trie_pieces", "shorter", "known"), b"")
    shape = (n, total, longest, marked)
    ties = _rules(vocab, take, parts, shape)
    opened = tables.Tables(parts, *shape, ties, vocab.split_spaces)
    opened.finish()
    bits = 16 if marked else 19
    parts["ascii_joins"], parts["joins"], parts["fragment_joins"] = build.joins(opened, take, bits, vocab.split_spaces)
    reached, merges = halves.last_merges(opened, take)
    parts["itself"] = take if vocab.whole_pieces else reached
    parts["pairs"] = halves.used_pairs(opened, parts["pairs"], merges)
    if parts["itself"] == reached:
        parts["pair_ranks"] = known.pair_ranks(opened, parts["pairs"])
        parts["halves"], marks = halves.halves(opened, reached, merges)
        order = trie.in_order(opened, marks)
        parts["trie"], parts["trie_pieces"] = trie.trie(opened, order, parts["pairs"], marks)
        parts["shorter"] = trie.shorter(opened, order)
    parts["known"] = known.known(opened, parts["itself"])
    parts["meta"] = json.dumps(_meta(vocab, longest, ties)).encode()
    return _pack(parts)


def _check_rules(vocab: Vocabulary, marked: bool) -> None:
    """Refuse combinations that no known file has and that the core would not encode exactly."""
    known = {int(kind) for kind in Kind} - {Kind.UNUSED}
    texts = known - {Kind.BYTE}
    if not marked or _are_utf8(_of_kinds(vocab, texts, vocab.pieces)):
        texts = {Kind.USER_DEFINED}
    for i in _of_kinds(vocab, texts | (set(range(256)) - known), range(len(vocab.pieces))):
        kind = vocab.kinds[i]
        if kind not in known:
            raise VocabularyError(f"{vocab.name}: piece {i} is of kind {kind}, which cannot be encoded exactly.")
        try:
            text = vocab.pieces[i].decode()
        except UnicodeDecodeError as error:
            raise VocabularyError(f"{vocab.name}: piece {i}, {vocab.pieces[i][:40]!r}, is not UTF-8.") from error
        if marked and kind == Kind.USER_DEFINED and SPACE in text:
            raise VocabularyError(f"{vocab.name}: user-defined piece {i}, {text[:40]!r}, holds a space.")
    if marked and SPACE.encode() not in _of_kinds(vocab, {Kind.NORMAL}, vocab.pieces):
        raise VocabularyError(f"{vocab.name}: no piece {SPACE!r}; a space would have no id of its own.")
    if marked and (vocab.whole_pieces or vocab.pattern is not None):
        raise VocabularyError(f"{vocab.name}: whole_pieces and pattern are rules of the byte-level families.")
    if not marked and (vocab.prefix != "never" or vocab.split_spaces):
        raise VocabularyError(f"{vocab.name}: prefix and split_spaces are rules of the family sentencepiece.")


def _of_kinds(vocab: Vocabulary, kinds: Collection[int], items: Iterable[T]) -> Iterator[T]:
    """Return what stands in `items` at the places of the pieces of these kinds."""
    return compress(items, vocab.kinds.translate(bytes(kind in kinds for kind in range(256))))


def _are_utf8(pieces: Iterable[bytes]) -> bool:
    """Tell whether each piece is; between them stands what is inside of no character."""
    try:
        b"\0".join(pieces).decode()
    except UnicodeDecodeError:
        return False
    return True


def _surfaces(vocab: Vocabulary, marked: bool) -> tuple[list[bytes], list[bytes]]:
    """Return what each piece looks like in text, and the characters inside pieces that are no piece themselves."""
    if not marked:
        return list(vocab.pieces), []
    mark = SPACE.encode()
    surfaces = list(vocab.pieces)
    for i in _of_kinds(vocab, {Kind.NORMAL, Kind.USER_DEFINED}, range(len(surfaces))):
        piece = surfaces[i]
        if b" " in piece:
            raise VocabularyError(
                f"{vocab.name}: piece {i}, {piece!r}, holds a plain space, which no text can contain."
            )
        surfaces[i] = piece.replace(mark, b" ")
    if vocab.merges is not None:
        return surfaces, []
    normal = [s.decode("utf-8") for s in _of_kinds(vocab, {Kind.NORMAL}, surfaces)]
    single = {s for s in normal if len(s) == 1}
    return surfaces, sorted(c.encode() for c in set("".join(normal)) - single)


def _take(vocab: Vocabulary, marked: bool) -> bytes:
    """Mark the pieces that text can become by merging."""
    wanted = {Kind.NORMAL} if marked else {Kind.NORMAL, Kind.BYTE}
    return vocab.kinds.translate(bytes(k in wanted for k in range(256)))


def _byte_symbols(vocab: Vocabulary) -> array[int]:
    found = array("I", bytes(1024))
    for i in _of_kind(vocab, Kind.BYTE):
        found[vocab.pieces[i][0]] = i
    return found


def _of_kind(vocab: Vocabulary, kind: Kind) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(bytes([kind])), vocab.kinds)]


def _user_defined(vocab: Vocabulary, surfaces: list[bytes]) -> array[int]:
    """List the pieces that are matched in text as they stand, the longest first."""
    ids = _of_kind(vocab, Kind.USER_DEFINED)
    return array("I", sorted(ids, key=lambda i: (-len(surfaces[i]), i)))


def _rules(
    vocab: Vocabulary, take: bytes, parts: dict[str, bytes | bytearray | array[int]], shape: tuple[int, int, int, bool]
) -> bool:
    """Fill in the merge rules; tell whether some have equal rank."""
    total = shape[1]
    if vocab.merges is not None:
        left, right, made = (
            (array("I", column) for column in zip(*vocab.merges, strict=True)) if vocab.merges else ((),) * 3
        )
        parts["pairs"] = build.explicit_pairs(array("I", left), array("I", right))
        parts["rule_result"] = array("I", made)
        return False
    order, dense, rule_of = build.rules(array("I", vocab.ranks), take, total)
    ties = len(order) > 0 and dense[-1] + 1 < len(order)
    parts["rule_result"] = order
    parts["rule_rank"] = dense if ties else b""
    parts["pairs"] = build.implicit_pairs(tables.Tables(parts, *shape, ties, vocab.split_spaces), rule_of)
    return ties


def _classes() -> tuple[array[int], bytes]:
    """Read the character classes: a block number for every 128 code points, and the blocks."""
    from importlib.resources import files

    flags = bytearray([CLASS_BITS[""]]) * 0x110000
    for line in files("mistral_tok.core").joinpath("unicode_classes.txt").read_text("ascii").splitlines():
        first, last, name = line.split()
        a, b = int(first, 16), int(last, 16) + 1
        flags[a:b] = bytes([CLASS_BITS[name]]) * (b - a)
    flags[10] = flags[13] = NEWLINE
    every = bytes(flags)
    blocks: dict[bytes, int] = {}
    index = array("H", [blocks.setdefault(every[i : i + 128], len(blocks)) for i in range(0, 0x110000, 128)])
    return index, b"".join(blocks)


def _meta(vocab: Vocabulary, longest: int, ties: bool) -> dict[str, object]:
    return {
        "name": vocab.name,
        "family": vocab.family,
        "version": vocab.version,
        "pattern": vocab.pattern,
        "prefix": vocab.prefix,
        "split_spaces": vocab.split_spaces,
        "whole_pieces": vocab.whole_pieces,
        "unknown_name": vocab.pieces[vocab.unk_id].decode("utf-8", "replace") if vocab.unk_id is not None else None,
        "ids": [vocab.bos_id, vocab.eos_id, vocab.unk_id, vocab.pad_id],
        "config": dict(vocab.config),
        "longest": longest,
        "ties": ties,
    }


def _pack(parts: dict[str, bytes | bytearray | array[int]]) -> bytes:
    body: list[bytes | bytearray | array[int]] = []
    places = bytearray()
    at = HEADER
    for name in SECTIONS:
        size = memoryview(parts[name]).nbytes
        gap = -size % PADDING
        places += struct.pack("<QQ", at, size)
        body += [parts[name], bytes(gap)]
        at += size + gap
    return build.sealed(HEAD.pack(MAGIC, FORMAT, 0)[:-8], [places.ljust(HEADER - HEAD.size, b"\0"), *body])


class Image:
    """An opened image: `meta` and the tables that the core reads.

    `n_ids` is the number of ids that a text can have: fewer than pieces where the file lacks some bytes.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        self.data = view
        self.sections = dict(zip(SECTIONS, _sections(view), strict=True))
        self.n_pieces = len(self.sections["kinds"])
        try:
            self.meta = json.loads(bytes(self.sections["meta"]))
            _check_meta(self.meta, self.sections)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise VocabularyError("A table image is damaged: section meta is not right.") from error
        self.n_ids: int = self.n_pieces - self.meta["config"].get("absent", 0)
        n_symbols = len(self.sections["offsets"]) // 4 - 1
        marked = self.meta["family"] == "sentencepiece"
        self.tables = tables.Tables(
            self.sections,
            self.n_pieces,
            n_symbols,
            self.meta["longest"],
            marked,
            self.meta["ties"],
            self.meta["split_spaces"],
        )
        verify(self.tables, self.sections)
        self.tables.finish()


def _check_meta(meta: dict[str, Any], sections: Mapping[str, memoryview]) -> None:
    """Raise ValueError, KeyError or TypeError unless `meta` has the types and bounds that its readers rely on."""
    n = len(sections["kinds"])
    shape: dict[str, tuple[type, ...]] = {
        "name": (str,),
        "version": (str,),
        "pattern": (str, type(None)),
        "unknown_name": (str, type(None)),
        "split_spaces": (bool,),
        "whole_pieces": (bool,),
        "ties": (bool,),
        "longest": (int,),
        "ids": (list,),
        "config": (dict,),
    }
    bos, eos, unk, pad = meta["ids"]
    absent = dict(meta["config"]).get("absent", 0)
    roles = [i for i in (bos, eos, unk, pad) if i is not None]
    offsets = memoryview(sections["offsets"]).cast("B").cast("I")
    defined = memoryview(sections["user_defined"]).cast("B").cast("I")
    single = memoryview(sections["byte_symbols"]).cast("B").cast("I")
    fine = (
        all(type(meta[key]) in types for key, types in shape.items())
        and meta["family"] in ("sentencepiece", "tekken", "bytelevel")
        and meta["prefix"] in ("never", "always", "unless-space")
        and 0 < meta["longest"] < 1 << 20
        and type(absent) is int
        and 0 <= absent <= min(255, n - 1)
        and all(type(i) is int and 0 <= i < n - absent for i in roles)
        and n < len(offsets)
        and all(i < n and offsets[i] < offsets[i + 1] and sections["kinds"][i] == Kind.USER_DEFINED for i in defined)
        and all(i < n and sections["blob"][offsets[i] : offsets[i + 1]] == bytes([b]) for b, i in enumerate(single))
        and not bytes(sections["kinds"]).translate(None, bytes(Kind))
        and not bytes(sections["classes"]).translate(None, CLASSES)
        and (meta["pattern"] != TEKKEN_PATTERN or len(sections["class_index"]) > 0)
    )
    if not fine:
        raise ValueError("out of bounds")


def _sections(view: memoryview) -> Iterable[memoryview]:
    if len(view) < HEADER or len(view) % 32:
        raise VocabularyError(f"Not a table image: {len(view)} bytes.")
    magic, version, expected = HEAD.unpack_from(view)
    if magic != MAGIC or version != FORMAT:
        raise VocabularyError("Not a table image of this version and machine.")
    if build.checksum(view[HEAD.size :]) != expected:
        raise VocabularyError("A table image is damaged: its checksum does not match.")
    at = HEAD.size
    for _ in SECTIONS:
        start, size = struct.unpack_from("<QQ", view, at)
        if start % PADDING or start > len(view) or size > len(view) - start:
            raise VocabularyError("A table image is damaged: a section lies outside of it.")
        yield view[start : start + size]
        at += 16
