"""`tokenizer.json` files of both kinds give the ids and the text that the tokenizers package gives."""

from __future__ import annotations

import json
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Official

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import DEEP, any_text, documents, drawn_text, hard, library, vocabulary
from tokenizer_json_support import (
    BYTE_LEVEL_STEPS,
    DECODERS,
    LLAMA_STEPS,
    METASPACE,
    added,
    byte_level,
    file_of,
    llama,
    split,
)

from mistral_tok import Tokenizer
from mistral_tok.core.image import TEKKEN_PATTERN
from mistral_tok.load import read_bytes
from mistral_tok.vocab import SPACE, Kind

SIZE = 12_000
"""Pieces taken from the official vocabularies: enough for words in many scripts, few enough to write anew at once."""


def _llama() -> dict[str, Any]:
    """The first pieces of SentencePiece v3 as a converter writes them."""
    vocab = vocabulary("v3")
    names = [
        f"<0x{p[0]:02X}>" if kind == Kind.BYTE else p.decode()
        for p, kind in zip(vocab.pieces[:SIZE], vocab.kinds, strict=False)
    ]
    # Characters stand at the end of the file, and without the space mark nothing could be encoded.
    names += [p.decode() for p in vocab.pieces[SIZE:] if len(p.decode()) == 1]
    plain = {name: i for i, name in enumerate(names) if i > 1000}
    merges = [
        [name[:k], name[k:]] for name in plain for k in range(1, len(name)) if name[:k] in plain and name[k:] in plain
    ]
    tokens = [
        added(i, names[i], True) for i, kind in enumerate(vocab.kinds[:SIZE]) if kind in (Kind.CONTROL, Kind.UNKNOWN)
    ]
    return file_of(names, merges, tokens, normalizer=LLAMA_STEPS, decoder={"type": "Sequence", "decoders": DECODERS})


def _byte_level() -> dict[str, Any]:
    """The first pieces of Tekken as byte-level BPE: the same splits, merges in the order of the pieces."""
    vocab = vocabulary("v3-tekken")
    first = vocab.kinds.index(Kind.BYTE)
    shown = _names()
    pieces = vocab.pieces[first : first + SIZE]
    names = ["".join(shown[b] for b in piece) for piece in pieces]
    rank = {piece: i for i, piece in enumerate(pieces)}
    merges = [["".join(shown[b] for b in part) for part in _parts(piece, rank)] for piece in pieces if len(piece) > 1]
    tokens = [added(SIZE, "<s>", True), added(SIZE + 1, "</s>", True)]
    return byte_level(
        tokens,
        pre_tokenizer=split(TEKKEN_PATTERN),
        model={"vocab": {name: i for i, name in enumerate(names)}, "merges": [m for m in merges if len(m) == 2]},
    )


def _names() -> list[str]:
    """GPT-2's printable stand-in for each byte."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


def _parts(piece: bytes, rank: dict[bytes, int]) -> list[bytes]:
    """What the pieces before this one make of its bytes."""
    parts = [piece[i : i + 1] for i in range(len(piece))]
    while len(parts) > 2:
        best, i = min((rank.get(a + b, SIZE), i) for i, (a, b) in enumerate(pairwise(parts)))
        if best >= rank[piece]:
            break
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


FILES = {"llama": _llama, "byte level": _byte_level}


def both(file: Any) -> tuple[Tokenizer, Any]:
    data = json.dumps(file)
    oracle = Official.from_str(data)
    oracle.encode_special_tokens = True
    return Tokenizer.from_vocabulary(read_bytes(data.encode(), "tokenizer.json")), oracle


@cache
def large(kind: str) -> tuple[Tokenizer, Any]:
    return both(FILES[kind]())


def expected(oracle: Any, text: str) -> list[int]:
    found: list[int] = oracle.encode(text, add_special_tokens=False).ids
    return found


def assert_decoded_alike(found: Tokenizer, oracle: Any, row: list[int]) -> None:
    assert found.decode(row) == oracle.decode(row, skip_special_tokens=True)
    assert found.decode(row, special="keep") == oracle.decode(row, skip_special_tokens=False)
    stream = found.stream()
    assert "".join([stream.push(i) for i in row] + [stream.finish()]) == found.decode(row)


@pytest.mark.parametrize("kind", FILES)
def test_corpora(kind: str) -> None:
    found, oracle = large(kind)
    rows = [encoding.ids for encoding in oracle.encode_batch(documents(), add_special_tokens=False)]
    assert found.encode_batch(documents()) == rows
    assert [found.encode(text) for text in documents()] == rows  # with warm tables
    for row in rows[::7]:
        assert_decoded_alike(found, oracle, row)


@pytest.mark.parametrize("kind", FILES)
def test_standard_library(kind: str) -> None:
    found, oracle = large(kind)
    for source in library():
        text = source if DEEP else source[:10_000]
        assert found.encode(text) == expected(oracle, text)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("case", hard(1))
def test_hard_texts(kind: str, case: str) -> None:
    found, oracle = large(kind)
    text = hard(20_000)[case]
    assert found.encode(text) == expected(oracle, text)


@pytest.mark.parametrize("kind", FILES)
@given(text=any_text())
def test_any_text(kind: str, text: str) -> None:
    found, oracle = large(kind)
    row = expected(oracle, text)
    assert found.encode(text) == row
    assert_decoded_alike(found, oracle, row)


@pytest.mark.parametrize("kind", FILES)
@given(data=st.data())
def test_any_ids(kind: str, data: st.DataObject) -> None:
    found, oracle = large(kind)
    bytes_ = [i for i in range(1100) if len(found.piece_bytes(i)) == 1]
    one = st.sampled_from(bytes_) | st.integers(0, found.vocab_size - 1) | st.sampled_from(sorted(found.special_ids))
    assert_decoded_alike(found, oracle, data.draw(st.lists(one, max_size=40)))


@cache
def metaspace(index: int, defined: bool) -> tuple[Tokenizer, Any] | None:
    """A small file of the Llama kind; None for a combination that is refused."""
    n = len(llama()["model"]["vocab"])
    tokens = [added(n, "[R]"), added(n + 1, "<mask>")] if defined else None
    try:
        return both(llama(tokens, pre_tokenizer={"type": "Metaspace", "replacement": SPACE, **METASPACE[index]}))
    except ValueError:
        assert defined and METASPACE[index].get("prepend_scheme") == "first"
        return None


@given(
    index=st.integers(0, len(METASPACE) - 1),
    defined=st.booleans(),
    text=st.lists(drawn_text() | st.sampled_from(["[R]", "[R", "<mask>", "<s>"]), max_size=5).map("".join),
    data=st.data(),
)
def test_small_files_of_the_llama_kind(index: int, defined: bool, text: str, data: st.DataObject) -> None:
    pair = metaspace(index, defined)
    if pair is None:
        return
    found, oracle = pair
    assert found.encode(text) == expected(oracle, text)
    assert_decoded_alike(found, oracle, data.draw(st.lists(st.integers(0, found.vocab_size - 1), max_size=20)))


@cache
def stepped(case: str, whole: bool, defined: bool) -> tuple[Tokenizer, Any]:
    tokens = [added(265, "[R]"), added(266, "[R][R"), added(267, "<s>", True)] if defined else None
    return both(byte_level(tokens, pre_tokenizer=BYTE_LEVEL_STEPS[case], model={"ignore_merges": whole}))


@given(
    case=st.sampled_from(sorted(BYTE_LEVEL_STEPS)),
    whole=st.booleans(),
    defined=st.booleans(),
    text=st.lists(drawn_text() | any_text() | st.sampled_from(["[R]", "[R", "<s>"]), max_size=4).map("".join),
    data=st.data(),
)
def test_small_files_of_the_byte_level_kind(
    case: str, whole: bool, defined: bool, text: str, data: st.DataObject
) -> None:
    found, oracle = stepped(case, whole, defined)
    encoding = oracle.encode(text, add_special_tokens=False)
    ours = found.encode_with_offsets(text)
    assert found.encode(text) == ours.ids == encoding.ids
    assert_decoded_alike(found, oracle, data.draw(st.lists(st.integers(0, found.vocab_size - 1), max_size=20)))
    if text.isascii() and not found.special_ids.intersection(ours.ids):
        untrimmed = [text[a:b].encode() for a, b in ours.offsets.tolist()]
        assert untrimmed == [found.piece_bytes(i) for i in ours.ids]


def test_the_files_hold_what_they_should() -> None:
    for kind in FILES:
        found, oracle = large(kind)
        assert found.vocab_size == oracle.get_vocab_size() >= SIZE
        assert len(found.encode("the people" if kind == "llama" else " the people")) == 2
