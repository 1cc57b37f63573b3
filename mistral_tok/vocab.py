"""Vocabulary: the one type that every file format becomes and that the core is built from."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import compress
from typing import Literal

from mistral_tok.errors import VocabularyError

Family = Literal["sentencepiece", "tekken", "bytelevel"]
Prefix = Literal["never", "always", "unless-space"]

NEVER = 0xFFFFFFFF
"""Rank of a piece that no merge produces."""

SPACE = "\u2581"
"""SentencePiece's visible space, LOWER ONE EIGHTH BLOCK."""

VERSIONS = ("v1", "v2", "v3", "v7", "v11", "v13", "v15")
"""Tokenizer versions that exist, oldest first."""

MAX_PIECES = 1 << 20
"""More pieces than any published vocabulary has; a file that claims more is refused before memory is spent."""

MAX_PIECE_BYTES = (1 << 16) - 1
"""Longest piece accepted; the longest of Mistral's vocabularies has 128 bytes."""


MAX_MERGES = 1 << 21
"""More merges than any published vocabulary lists."""


class Kind(IntEnum):
    """What a piece is, numbered as in SentencePiece's file format."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Pieces, priorities and rules, as plain data.

    `pieces[i]` are the bytes of id `i`: in the family `sentencepiece` UTF-8 with U+2581 for a space, otherwise raw
    bytes; a BYTE piece is its single byte (the base symbols of the byte-level families are BYTE pieces), a CONTROL or
    UNKNOWN piece its name. `ranks[i]` says when a merge into piece `i` happens, lower first, equal ranks from the
    left; `NEVER` for none. With `merges` (triples of left, right and merged id in order of priority) only the listed
    pairs merge and `ranks` is not read; without, any two neighbours whose concatenation is a piece with a rank do.

    `pattern` is the regular expression that splits text first (None: it is not split). `prefix` tells whether a dummy
    space is put in front of a text: never, always, or unless it starts with a space. `split_spaces`: merges never
    cross into a space from the left. `whole_pieces`: a split segment that is itself a piece is that piece, without
    merging. `config` holds what the file says beyond that and the conversation layer reads (`image`, `audio`, …).
    """

    name: str
    family: Family
    version: str
    pieces: tuple[bytes, ...]
    kinds: bytes
    ranks: array[int]
    merges: tuple[tuple[int, int, int], ...] | None = None
    pattern: str | None = None
    prefix: Prefix = "never"
    split_spaces: bool = False
    whole_pieces: bool = False
    bos_id: int | None = None
    eos_id: int | None = None
    unk_id: int | None = None
    pad_id: int | None = None
    config: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.pieces)
        if not 0 < n <= MAX_PIECES:
            raise VocabularyError(f"{self.name}: {n} pieces; a vocabulary has between 1 and {MAX_PIECES}.")
        if len(self.kinds) != n or len(self.ranks) != n:
            raise VocabularyError(f"{self.name}: {n} pieces but {len(self.kinds)} kinds and {len(self.ranks)} ranks.")
        for role in ("bos_id", "eos_id", "unk_id", "pad_id"):
            value = getattr(self, role)
            if value is not None and not 0 <= value < n:
                raise VocabularyError(f"{self.name}: {role} is {value}, outside the {n} pieces.")
        _check_pieces(self)
        if self.merges is not None:
            _check_merges(self.name, self.pieces, self.merges)


def _check_merges(name: str, pieces: tuple[bytes, ...], merges: tuple[tuple[int, int, int], ...]) -> None:
    """Refuse merges that do not make the piece which their parts spell."""
    n = len(pieces)
    if len(merges) > MAX_MERGES:
        raise VocabularyError(f"{name}: {len(merges)} merges; at most {MAX_MERGES} are allowed.")
    for i, (left, right, made) in enumerate(merges):
        if not (0 <= left < n and 0 <= right < n and 0 <= made < n):
            raise VocabularyError(f"{name}: merge {i}, of {left} and {right} into {made}, is outside the {n} pieces.")
        if pieces[left] + pieces[right] != pieces[made]:
            raise VocabularyError(f"{name}: merge {i}, of {left} and {right}, does not spell piece {made}.")


def _check_pieces(vocab: Vocabulary) -> None:
    """Refuse empty, oversized and repeated pieces, and a byte table with gaps.

    In SentencePiece the byte pieces have names of their own (`<0x41>` beside `A`); elsewhere the control pieces do.
    """
    apart = {Kind.BYTE} if vocab.family == "sentencepiece" else {Kind.CONTROL, Kind.UNKNOWN}
    if not _are_fine(vocab, apart):
        _refuse_piece(vocab, apart)


def _are_fine(vocab: Vocabulary, apart: set[Kind]) -> bool:
    """Tell at once whether `_refuse_piece` would find nothing, without looking at one piece after the other."""
    marks = vocab.kinds.translate(bytes(kind in apart for kind in range(256)))
    named = set(compress(vocab.pieces, marks))
    others = set(compress(vocab.pieces, marks.translate(bytes([1, *bytes(255)]))))
    sizes = set(map(len, vocab.pieces))
    single = set(compress(vocab.pieces, vocab.kinds.translate(bytes(kind == Kind.BYTE for kind in range(256)))))
    return (
        len(named) + len(others) == len(vocab.pieces)
        and 0 < min(sizes) <= max(sizes) <= MAX_PIECE_BYTES
        and len(single) == 256
        and set(map(len, single)) == {1}
    )


def _refuse_piece(vocab: Vocabulary, apart: set[Kind]) -> None:
    """Name the first piece that is not right."""
    seen: dict[tuple[bool, bytes], int] = {}
    found = bytearray(256)
    for i, (piece, kind) in enumerate(zip(vocab.pieces, vocab.kinds, strict=True)):
        if not 0 < len(piece) <= MAX_PIECE_BYTES:
            raise VocabularyError(
                f"{vocab.name}: piece {i} has {len(piece)} bytes; 1 to {MAX_PIECE_BYTES} are allowed."
            )
        if kind == Kind.BYTE:
            if len(piece) != 1:
                raise VocabularyError(f"{vocab.name}: byte piece {i} has {len(piece)} bytes instead of 1.")
            found[piece[0]] = 1
        first = seen.setdefault((kind in apart, piece), i)
        if first != i:
            raise VocabularyError(f"{vocab.name}: pieces {first} and {i} are the same: {piece[:40]!r}.")
    if not all(found):
        raise VocabularyError(f"{vocab.name}: no piece for byte 0x{found.index(0):02X}; all 256 are needed.")
