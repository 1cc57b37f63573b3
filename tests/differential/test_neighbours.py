"""Pieces, pairs of pieces and characters beside every kind of neighbour get the ids of the reference.

What a vocabulary holds is what text is most easily taken apart wrongly at: each piece is a text here, alone, twice, and
between others. By default a part of the largest vocabularies; all of it, and a million pairs, in the deep run.
"""

from __future__ import annotations

import random
import sys
from itertools import product
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import DEEP, MARKED, NAMES, SIMD, TEKKEN, assert_official, instructions, tokenizer

from mistral_tok.vocab import SPACE

NEIGHBOURS = ("a", "A", "1", " ", "\n", ".", "日", "\u0301", "😀")
PAIRS = 1_000_000 if DEEP else 20_000
AT_ONCE = 200_000
"""Texts that one call to the reference takes, so that a deep run needs no gigabytes."""


def surfaces(name: str) -> list[bytes]:
    """What every piece looks like in text, the names of control tokens included."""
    found = tokenizer(name)
    return [
        found.piece(i).encode() if i in found.special_ids else found.piece_bytes(i) for i in range(found.vocab_size)
    ]


def as_text(data: bytes) -> str:
    """The text of bytes, which pieces may leave incomplete."""
    return data.decode("utf-8", "replace")


def assert_all(name: str, texts: list[str]) -> None:
    for start in range(0, len(texts), AT_ONCE):
        assert_official(name, texts[start : start + AT_ONCE])


@pytest.mark.parametrize("level", SIMD)
@pytest.mark.parametrize("name", NAMES)
def test_every_piece_alone_doubled_and_beside_every_kind_of_neighbour(name: str, level: int | None) -> None:
    step = 1 if DEEP else (1 if name in MARKED else 31) * (1 if level == SIMD[-1] else 13)
    pieces = surfaces(name)[random.Random(name).randrange(step) :: step]
    texts = [text for piece in pieces for text in (as_text(piece), as_text(piece * 2))]
    for piece in map(as_text, pieces):
        texts += [text for other in NEIGHBOURS for text in (other + piece, piece + other)]
    with instructions(level, tokenizer(name)):
        assert_all(name, texts)


@pytest.mark.parametrize("name", MARKED)
def test_every_piece_between_neighbours_as_it_is_written(name: str) -> None:
    """With the space mark of its name in the text, which means a space, and between two neighbours."""
    step = 1 if DEEP else 17
    pieces = [tokenizer(name).piece(i) for i in range(0, tokenizer(name).vocab_size, step)]
    around = [(" ", "a"), ("a", " "), (SPACE, SPACE), ("日", "日"), ("\n", "\n"), ("1", "é")]
    assert_all(name, [before + piece + after for piece, (before, after) in product(pieces, around)])


@pytest.mark.parametrize("name", NAMES)
def test_random_pairs_of_pieces(name: str) -> None:
    draw, pieces = random.Random(f"pairs of {name}"), surfaces(name)
    count = PAIRS if DEEP or name in ("v3", "v3-tekken") else PAIRS // 10
    assert_all(name, [as_text(draw.choice(pieces) + draw.choice(pieces)) for _ in range(count)])


@pytest.mark.parametrize("name", NAMES if DEEP else ("v1", "v3", "v7", TEKKEN[0]))
def test_every_code_point_alone_and_between_letters(name: str) -> None:
    codes = [*range(0x110000)] if DEEP else [*range(0x600), *range(0x600, 0x3200, 7), *range(0x3200, 0x110000, 97)]
    characters = [chr(code) for code in codes if not 0xD800 <= code < 0xE000]
    assert_all(name, [text for c in characters for text in (c, f"a{c}b", f"{c}{c}")])
