"""Both Tekken vocabularies give the ids and the text that mistral-common and tiktoken give."""

from __future__ import annotations

import importlib.util
import sys
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mistral_common.tokens.tokenizers.base import SpecialTokenPolicy

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import DEEP, FIXTURES, TEKKEN, any_text, corpora, documents, hard, ids, library, official, tokenizer

POLICIES: dict[Any, SpecialTokenPolicy] = {"ignore": SpecialTokenPolicy.IGNORE, "keep": SpecialTokenPolicy.KEEP}


def expected(name: str, text: str) -> list[int]:
    found: list[int] = official(name).encode(text, bos=False, eos=False)
    return found


def engine(name: str) -> tuple[Any, int]:
    """The tiktoken encoding inside a Tekkenizer, and the id of its first piece."""
    return official(name)._model, official(name).num_special_tokens


@pytest.mark.parametrize("name", TEKKEN)
def test_corpora(name: str) -> None:
    for texts in ([*corpora().values()], documents()):
        rows = [expected(name, text) for text in texts]
        assert tokenizer(name).encode_batch(texts) == rows
        assert [tokenizer(name).encode(text) for text in texts] == rows  # with warm tables
        assert [tokenizer(name).decode(row) for row in rows] == texts


@pytest.mark.parametrize("name", TEKKEN if DEEP else TEKKEN[:1])
def test_standard_library(name: str) -> None:
    for source in library():
        row = expected(name, source)
        assert tokenizer(name).encode(source) == row
        assert tokenizer(name).decode(row) == source


@pytest.mark.parametrize("case", hard(1))
def test_hard_texts(case: str) -> None:
    found = hard()[case]
    for text in (found, "x" + found + " end"):
        assert tokenizer("v3-tekken").encode(text) == expected("v3-tekken", text)


@pytest.mark.parametrize("name", TEKKEN)
@given(text=any_text())
def test_any_text(name: str, text: str) -> None:
    row = expected(name, text)
    assert tokenizer(name).encode(text) == row
    assert tokenizer(name).decode(row) == text


@pytest.mark.parametrize("name", TEKKEN)
@given(data=st.data())
def test_any_ids(name: str, data: st.DataObject) -> None:
    row = data.draw(ids(name))
    for policy, official_policy in POLICIES.items():
        assert tokenizer(name).decode(row, special=policy) == official(name).decode(row, official_policy)


@pytest.mark.parametrize("name", TEKKEN)
def test_every_piece_as_a_text_and_as_an_id(name: str) -> None:
    every = range(tokenizer(name).vocab_size)
    chosen = every if DEEP else [*every[:1600], *every[1600::31]]
    model, first = engine(name)
    for i in chosen:
        if i >= first:
            assert tokenizer(name).piece_bytes(i) == model.decode_single_token_bytes(i - first)
        else:
            assert tokenizer(name).piece(i) == official(name).id_to_piece(i)
    pieces = [tokenizer(name).piece(i) for i in chosen]
    texts = [text for piece in pieces for text in (piece, piece * 2)]
    rows = model.encode_ordinary_batch(texts, num_threads=1)
    assert tokenizer(name).encode_batch(texts) == [[i + first for i in row] for row in rows]


def pages() -> list[list[str]]:
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    return [characters[i : i + 8192] for i in range(0, len(characters), 8192)]


@pytest.mark.parametrize("between", ["", "a", "A", " ", "\n", "1", ".", "ª", "\u0301"] if DEEP else ["a", "A ", ""])
def test_every_character_beside_every_kind(between: str) -> None:
    """All code points against the pattern as tiktoken's engine reads it, between characters of each kind."""
    model, first = engine("v3-tekken")
    for page in pages():
        text = between.join(page)
        assert tokenizer("v3-tekken").encode(text) == [i + first for i in model.encode_ordinary(text)], hex(
            ord(page[0])
        )


def test_every_character_alone() -> None:
    model, first = engine("v3-tekken")
    for page in pages() if DEEP else pages()[::24]:
        rows = model.encode_ordinary_batch(page, num_threads=1)
        assert tokenizer("v3-tekken").encode_batch(page) == [[i + first for i in row] for row in rows]


def test_the_table_of_classes_is_the_engines() -> None:
    """The file beside the core says what tiktoken's engine says, for every code point."""
    spec = importlib.util.spec_from_file_location("make_classes", FIXTURES / "unicode" / "make_classes.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    listed = files("mistral_tok.core").joinpath("unicode_classes.txt").read_text("ascii").splitlines()
    assert [f"{first:X} {last:X} {name}" for first, last, name in module.runs()] == listed


LETTERS = "aAǅʰªé\u0301\u0903日 \u3000\n\r\t1²/'._𝔘😀\u0378\x85"


@pytest.mark.parametrize("length", [3] if not DEEP else [3, 4])
def test_every_short_sequence_of_kinds(length: int) -> None:
    """All texts of a few characters, one or two of each kind, by the pattern's own engine."""
    model, first = engine("v3-tekken")
    texts = ["".join(characters) for characters in product(LETTERS, repeat=length)]
    rows = model.encode_ordinary_batch(texts, num_threads=1)
    assert tokenizer("v3-tekken").encode_batch(texts) == [[i + first for i in row] for row in rows]
