"""Every SentencePiece vocabulary gives the ids and the text that the sentencepiece library gives."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import DEEP, MARKED, any_text, corpora, documents, hard, ids, library, official, tokenizer, vocabulary

from mistral_tok.vocab import SPACE, Kind


@pytest.mark.parametrize("name", MARKED)
def test_corpora(name: str) -> None:
    for texts in ([*corpora().values()], documents()):
        expected = official(name).encode(texts)
        assert tokenizer(name).encode_batch(texts) == expected
        assert [tokenizer(name).encode(text) for text in texts] == expected  # with warm tables
        assert [tokenizer(name).decode(row) for row in expected] == official(name).decode(expected)


@pytest.mark.parametrize("name", MARKED if DEEP else ("v1", "v7"))
def test_standard_library(name: str) -> None:
    for source in library():
        expected = official(name).encode(source)
        assert tokenizer(name).encode(source) == expected
        assert tokenizer(name).decode(expected) == source.replace(SPACE, " ")


@pytest.mark.parametrize("name", ("v1", "v7"))
@pytest.mark.parametrize("case", hard(1))
def test_hard_texts(name: str, case: str) -> None:
    found = hard()[case]
    for text in (found, "x" + found + " end"):
        assert tokenizer(name).encode(text) == official(name).encode(text)


@pytest.mark.parametrize("name", MARKED)
@given(text=any_text())
def test_any_text(name: str, text: str) -> None:
    expected = official(name).encode(text)
    assert tokenizer(name).encode(text) == expected
    assert tokenizer(name).decode(expected) == official(name).decode(expected)


@pytest.mark.parametrize("name", MARKED)
@given(data=st.data())
def test_any_ids(name: str, data: st.DataObject) -> None:
    row = data.draw(ids(name))
    assert tokenizer(name).decode(row) == official(name).decode(row)


@pytest.mark.parametrize("name", MARKED)
def test_every_piece_as_a_text_and_as_an_id(name: str) -> None:
    every = range(tokenizer(name).vocab_size)
    chosen = every if DEEP else [*every[:1200:3], *every[1200::17]]
    pieces = [tokenizer(name).piece(i) for i in chosen]
    assert pieces == [official(name).id_to_piece(i) for i in chosen]
    texts = [p for piece in pieces for plain in (piece, piece.replace(SPACE, " ")) for p in (plain, plain * 2)]
    assert tokenizer(name).encode_batch(texts) == official(name).encode(texts)
    assert [tokenizer(name).decode(i) for i in chosen] == [official(name).decode([i]) for i in chosen]


@pytest.mark.parametrize("name", MARKED)
def test_every_character(name: str) -> None:
    """All code points, side by side and between letters, in pages."""
    step = 4096
    for first in range(0, 0x110000, step if DEEP else 2 * step):
        page = [chr(c) for c in range(first, first + step) if not 0xD800 <= c < 0xE000]
        for text in ("".join(page), "a".join(page), " ".join(page)):
            assert tokenizer(name).encode(text) == official(name).encode(text), hex(first)


@given(data=st.data())
def test_user_defined_pieces_are_matched_whole_and_cut(data: st.DataObject) -> None:
    """In v7, pieces such as `[REF]` come from text, wherever they stand; all control tokens are ordinary text."""
    vocab = vocabulary("v7")
    marks = [vocab.pieces[i].decode() for i, kind in enumerate(vocab.kinds) if kind == Kind.USER_DEFINED]
    control = [vocab.pieces[i].decode() for i, kind in enumerate(vocab.kinds) if kind == Kind.CONTROL]
    assert marks and control
    part = st.sampled_from(marks) | st.sampled_from(control) | st.sampled_from(["a", " ", "[", SPACE])
    part |= st.builds(lambda s, i: s[:i], st.sampled_from(marks + control), st.integers(1, 6))
    text = "".join(data.draw(st.lists(part, max_size=8)))
    found = tokenizer("v7").encode(text)
    assert found == official("v7").encode(text)
    assert not tokenizer("v7").special_ids.intersection(found)
