"""The masks of 64 bytes find the boundaries that pattern and vocabulary say, whatever stands beside whatever."""

from __future__ import annotations

import random
import sys
from array import array
from functools import cache
from pathlib import Path

import pytest
import regex

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import DEEP, SIMD, assert_official, instructions, tokenizer

from mistral_tok import Tokenizer
from mistral_tok.core.image import TEKKEN_PATTERN
from mistral_tok.vocab import NEVER, Kind, Vocabulary

CHARACTERS = (
    'aabcABC  \n\n\t\r\x0b\x0c//("._190 éÉßÞ÷×þ ЀЖЯажяёџѠѡ ϊāㄱ🤖\u2028\x1c\x85\u200b'
    "中国カなのゖゝー・ヺヿ㐀䶿䷀一鿿 가힟힣 、。〄「」〛〜！／０９：＠Ａ"
    "“”’…‧‰‿⁀ \u00a0\u3000\u0301\u3099\u309b゠"
)
"""Every class of the pattern, and both sides of each range that the masks know."""

WORDS = (
    *("the", "The", "THE", " the", "HELLOworld", "helloWorld", "//", "\n//", ";\n//", ";\n\n/", " (", ' "', "  "),
    *("\n  \n", "\n \n", " \n", "\t(", "中国", "GDP", "中A", "A中", "ab中", "été", " Élan", "Привет", "МИР"),
    *(" “Hi”", "、", "。\n", "５"),
)


def texts(seed: str, count: int) -> list[str]:
    """Texts of up to 200 parts out of a few characters, or all, or with words between."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        some = draw.sample(CHARACTERS, draw.randrange(2, 12)) if draw.random() < 0.5 else CHARACTERS
        parts = [
            draw.choice(WORDS) if draw.random() < 0.3 else draw.choice(some) for _ in range(draw.randrange(1, 200))
        ]
        made.append("".join(parts))
    return made


@cache
def telling() -> Tokenizer:
    """A vocabulary that shows every boundary: any two bytes of the texts merge, so that one byte more or less shifts
    what follows.
    """
    used = sorted({byte for c in CHARACTERS + "".join(WORDS) for byte in c.encode()})
    single = [bytes([b]) for b in range(256)]
    pieces = (b"<unk>", b"<s>", b"</s>", *single, *(bytes([a, b]) for a in used for b in used))
    kinds = bytes([Kind.CONTROL] * 3 + [Kind.BYTE] * 256 + [Kind.NORMAL] * (len(pieces) - 259))
    ranks = array("I", [NEVER] * 259 + list(range(len(pieces) - 259)))
    return Tokenizer.from_vocabulary(
        Vocabulary(
            name="telling", family="tekken", version="v3", pieces=pieces, kinds=kinds, ranks=ranks,
            bos_id=1, eos_id=2, unk_id=0, pad_id=None, prefix="never", pattern=TEKKEN_PATTERN,
        )
    )  # fmt: skip


@pytest.mark.parametrize("level", SIMD)
def test_boundaries_are_those_of_the_pattern(level: int | None) -> None:
    found = telling()
    with instructions(level, found):
        for text in texts("boundaries", 20_000 if DEEP else 1_500):
            apart = [i for match in regex.findall(TEKKEN_PATTERN, text) for i in found.encode(match)]
            assert (text, found.encode(text)) == (text, apart)


@pytest.mark.parametrize("level", SIMD)
@pytest.mark.parametrize("name", ["v3-tekken", "v3", "v1"])
def test_ids_are_those_of_the_reference(name: str, level: int | None) -> None:
    with instructions(level, tokenizer(name)):
        assert_official(name, texts(name, 100_000 if DEEP else 3_000))
