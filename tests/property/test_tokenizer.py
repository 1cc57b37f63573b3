"""What holds of every vocabulary, text and id sequence, and the compiled core against its readable twin."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import (
    NAMES,
    SYMBOLS,
    any_text,
    byte_vocabulary,
    corpora,
    cut,
    documents,
    drawn_text,
    ids,
    marked_vocabulary,
    tokenizer,
    vocabulary,
)

from mistral_tok import Tokenizer
from mistral_tok.core.reference import Reference
from mistral_tok.vocab import SPACE, Kind, Vocabulary

WINDOWS = (2, 3, 7, 50, 4096)


@cache
def twin(name: str) -> Reference:
    return Reference(vocabulary(name))


@cache
def forgetful(name: str) -> Tokenizer:
    """A tokenizer whose tables are so small that segments drive each other out all the time."""
    return Tokenizer.from_vocabulary(vocabulary(name), table_bytes=0)


@pytest.mark.parametrize("name", NAMES)
@given(text=any_text().map(lambda s: s[:300]), window=st.sampled_from(WINDOWS))
def test_core_equals_twin(name: str, text: str, window: int) -> None:
    expected = twin(name).encode(text)
    forgetful(name)._image.tables.set_window(window)
    assert forgetful(name).encode(text) == expected
    assert tokenizer(name).encode(text) == expected
    assert tokenizer(name).decode(expected) == twin(name).decode(expected)


def assert_equal_to_twin(vocab: Vocabulary, texts: list[str], rows: list[list[int]]) -> None:
    reference = Reference(vocab)
    expected = [reference.encode(text) for text in texts]
    found = Tokenizer.from_vocabulary(vocab, table_bytes=0)
    for window in WINDOWS:
        fresh = Tokenizer.from_vocabulary(vocab)
        for each in (found, fresh):
            each._image.tables.set_window(window)
            each._image.tables.set_spelling(window != 50)
        assert [found.encode(text) for text in texts] == expected
        assert fresh.encode_batch(texts) == expected
        assert [fresh.encode(text) for text in texts] == expected
    for row in rows + expected:
        assert found.decode(row) == reference.decode(row)
    for text, row in zip(texts, expected, strict=True):
        assert_offsets(found, text, row)


@given(vocab=marked_vocabulary(), texts=st.lists(drawn_text(), min_size=1, max_size=4), data=st.data())
def test_any_marked_vocabulary(vocab: Vocabulary, texts: list[str], data: st.DataObject) -> None:
    row = data.draw(st.lists(st.integers(0, len(vocab.pieces) - 1), max_size=20))
    assert_equal_to_twin(vocab, texts, [row])


@given(vocab=byte_vocabulary(), texts=st.lists(drawn_text(), min_size=1, max_size=4), data=st.data())
def test_any_byte_level_vocabulary(vocab: Vocabulary, texts: list[str], data: st.DataObject) -> None:
    row = data.draw(st.lists(st.integers(0, len(vocab.pieces) - 1), max_size=20))
    assert_equal_to_twin(vocab, texts, [row])


def assert_offsets(found: Tokenizer, text: str, row: list[int]) -> None:
    """Spans cover the text in order, characters in several tokens share theirs, and ordinary ones spell their piece."""
    encoding = found.encode_with_offsets(text)
    assert encoding.ids == row
    assert encoding.offsets.dtype == np.int32 and encoding.offsets.shape == (len(row), 2)
    drops = found.config.get("unmatched") == "drop"
    at = 0
    for i, (start, end) in zip(row, encoding.offsets.tolist(), strict=True):
        piece = found.piece_bytes(i)
        assert 0 <= start <= end <= len(text)
        assert start in (at, at - 1) or (drops and start > at), "spans are in order and leave nothing out"
        if found.family == "sentencepiece":
            plain = text[start:end].replace(SPACE, " ").encode()
            if found._image.sections["kinds"][i] == Kind.BYTE:
                assert end == start + 1 and piece in (bytes([b]) for b in text[start:end].encode())
            else:
                assert start == at and (plain == piece or b" " + plain == piece)
        else:
            around = text[start:end].encode()
            assert piece in around and len(around) - len(piece) < 8
            assert around == piece or around[:1] >= b"\x80" or around[-1:] >= b"\x80"
        at = end
    assert at == len(text) or drops


@pytest.mark.parametrize("name", NAMES)
@given(text=any_text())
@example(text="")
@example(text=SPACE)
def test_offsets(name: str, text: str) -> None:
    found = tokenizer(name)
    assert_offsets(found, text, found.encode(text))
    ended = found.encode_with_offsets(text, bos=True, eos=True)
    assert ended.ids == found.encode(text, bos=True, eos=True)
    assert ended.ids[0] == found.bos_id and ended.ids[-1] == found.eos_id
    assert ended.offsets[0].tolist() == [0, 0] and ended.offsets[-1].tolist() == [len(text)] * 2
    assert (ended.offsets[1:-1] == found.encode_with_offsets(text).offsets).all()


@pytest.mark.parametrize("name", ("v3", "v3-tekken"))
@given(text=st.text(st.sampled_from("ab é😀 \ud83d\ude00\udfff\ud800"), max_size=20))
def test_surrogates(name: str, text: str) -> None:
    """Pairs are joined, lone ones become U+FFFD, and offsets count the text as it was given."""
    found = tokenizer(name)
    fixed = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert found.encode(text, errors="replace") == found.encode(fixed)
    assert found.count(text, errors="replace") == found.count(fixed)
    assert found.encode_batch(["a", text], errors="replace") == found.encode_batch(["a", fixed])
    encoding = found.encode_with_offsets(text, errors="replace")
    assert encoding.ids == found.encode(fixed)
    inner = found.encode_with_offsets(fixed).offsets
    widths = np.array([2 if c > "\uffff" and c not in text else 1 for c in fixed], np.int32)
    if not any("\ud800" <= c <= "\udfff" for c in text):
        assert (encoding.offsets == inner).all()
    elif "😀" not in text:
        starts = np.concatenate([np.zeros(1, np.int32), np.cumsum(np.where(widths == 2, 2, 1), dtype=np.int32)])
        pairs = sum("\ud800" <= a <= "\udbff" and "\udc00" <= b <= "\udfff" for a, b in pairwise(text))
        assert starts[-1] == len(text) and len(fixed) == len(text) - pairs
        assert (encoding.offsets == starts[inner]).all()
    first = next((i for i, c in enumerate(text) if "\ud800" <= c <= "\udfff"), None)
    if first is not None:
        with pytest.raises(ValueError, match=rf"^text\[{first}\] is U\+{ord(text[first]):04X}"):
            found.encode(text)
        with pytest.raises(ValueError, match=rf"^texts\[1\]\[{first}\]"):
            found.encode_batch(["a", text, text])


@pytest.mark.parametrize("name", NAMES)
@given(text=any_text())
def test_every_way_to_encode_gives_the_same(name: str, text: str) -> None:
    found = tokenizer(name)
    row = found.encode(text)
    array = found.encode_array(text)
    assert array.dtype == np.int32 and array.tolist() == row
    assert found.count(text) == len(row)
    assert found.encode(text, bos=True) == [found.bos_id, *row]
    assert found.encode(text, eos=True) == [*row, found.eos_id]
    assert found.encode_array(text, bos=True, eos=True).tolist() == [found.bos_id, *row, found.eos_id]
    assert not found.special_ids.intersection(row)


@pytest.mark.parametrize("name", NAMES)
@given(text=any_text())
def test_round_trip(name: str, text: str) -> None:
    """Tekken gives every text back; SentencePiece gives a space for a literal ▁, and drops no other."""
    found = tokenizer(name)
    marked = found.family == "sentencepiece"
    assert found.decode(found.encode(text)) == (text.replace(SPACE, " ") if marked else text)
    assert found.decode_bytes(found.encode(text)) == (text.replace(SPACE, " ") if marked else text).encode()


@pytest.mark.parametrize("name", ("v7", "v3-tekken"))
@given(
    texts=st.lists(any_text(), max_size=8),
    repeat=st.sampled_from([1, 300]),
    ends=st.tuples(st.booleans(), st.booleans()),
)
def test_batches_equal_mapped_calls(name: str, texts: list[str], repeat: int, ends: tuple[bool, bool]) -> None:
    found = tokenizer(name)
    bos, eos = ends
    batch = texts * repeat
    rows = [found.encode(text, bos=bos, eos=eos) for text in texts] * repeat
    for threads in (1, 2, 5):
        assert found.encode_batch(batch, bos=bos, eos=eos, threads=threads) == rows
        joined, splits = found.encode_ragged(batch, bos=bos, eos=eos, threads=threads)
        assert joined.dtype == np.int32 and splits.dtype == np.int64
        assert joined.tolist() == [i for row in rows for i in row]
        assert splits.tolist() == np.cumsum([0, *map(len, rows)]).tolist()
        assert found.count_batch(batch, threads=threads) == [len(row) - bos - eos for row in rows]
    assert found.decode_batch(rows) == [found.decode(row) for row in rows]


@pytest.mark.parametrize("name", NAMES)
def test_tables_that_forget_change_nothing(name: str) -> None:
    """With the smallest tables, and with tables that just hold some texts, in one call and across calls."""
    texts = documents()
    expected = tokenizer(name).encode_batch(texts, threads=1)
    for bound in (0, 3000, 1 << 16):
        small = Tokenizer.from_vocabulary(vocabulary(name), table_bytes=bound)
        assert small.encode_batch(texts, threads=2) == expected
        assert [small.encode(text) for text in texts] == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("special", ("ignore", "keep"))
@given(data=st.data())
def test_stream_equals_decode(name: str, special: str, data: st.DataObject) -> None:
    row = data.draw(ids(name))
    assert_stream(tokenizer(name), row, data.draw(cut(row)), special)


@given(vocab=marked_vocabulary() | byte_vocabulary(), foreign=st.booleans(), data=st.data())
def test_stream_of_any_vocabulary(vocab: Vocabulary, foreign: bool, data: st.DataObject) -> None:
    """Under the decoding rules of the official libraries, and under those of a `tokenizer.json`."""
    if foreign:
        vocab = replace(vocab, config={**vocab.config, "format": "tokenizer.json"})
    last = len(vocab.pieces) - 1
    row = data.draw(st.lists(st.integers(0, last) | st.integers(195, min(last, 260)), max_size=30))
    for special in ("ignore", "keep"):
        assert_stream(Tokenizer.from_vocabulary(vocab), row, data.draw(cut(row)), special)


def assert_stream(found: Tokenizer, row: list[int], parts: list[list[int]], special: str) -> None:
    whole = found.decode(row, special=special)  # type: ignore[arg-type]
    stream = found.stream(special=special)  # type: ignore[arg-type]
    assert "".join([stream.push(part) for part in parts] + [stream.finish()]) == whole
    single = found.stream(special=special)  # type: ignore[arg-type]
    assert "".join([single.push(i) for i in row] + [single.finish()]) == whole
    try:
        strict = found.decode(row, special=special, errors="strict")  # type: ignore[arg-type]
    except ValueError:
        strict = None
    stream = found.stream(special=special, errors="strict")  # type: ignore[arg-type]
    try:
        pushed = "".join([stream.push(part) for part in parts] + [stream.finish()])
    except ValueError:
        pushed = None
    assert pushed == strict
    if strict is not None:
        assert strict == whole


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_any_ids_decode_as_the_twin_says(name: str, data: st.DataObject) -> None:
    """Whatever they come in, and beside text that needs characters of every width."""
    row = data.draw(ids(name)) + tokenizer(name).encode(data.draw(any_text()))[:200] + data.draw(ids(name, 8))
    expected = twin(name).decode(row)
    for form in (list, tuple, np.array, lambda row: np.array(row, np.int32)):
        assert tokenizer(name).decode(form(row) if row else []) == expected


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_bytes_and_text_agree(name: str, data: st.DataObject) -> None:
    found = tokenizer(name)
    row = data.draw(ids(name))
    for special in ("ignore", "keep"):
        raw = found.decode_bytes(row, special=special)  # type: ignore[arg-type]
        try:
            assert raw.decode() == found.decode(row, special=special, errors="strict")  # type: ignore[arg-type]
        except UnicodeDecodeError:
            continue
        except ValueError:
            # A control id between the bytes of one character ends it in text, but not in bytes.
            assert found.special_ids.intersection(row)
    controls = [place for place, i in enumerate(row) if i in found.special_ids]
    if controls:
        with pytest.raises(ValueError, match=rf"^ids\[{controls[0]}\] is {row[controls[0]]}, the control token"):
            found.decode(row, special="raise")


LONG_TEXTS = {
    "corpora": lambda: "".join(corpora().values()) * 3,
    "ascii": lambda: corpora()["en"] * 110,
    "user-defined pieces": lambda: "[REF]" * 1000 + "a [REF]é[REF" * 100_000,
    "one segment": lambda: "a" * 1_200_000,
    "spaces": lambda: " " * 1_200_000,
    "few ids, then many": lambda: corpora()["en"] * 100 + "🤖 " * 300_000,
    "many ids, then few": lambda: "🤖 " * 300_000 + corpora()["en"] * 100,
}


@pytest.mark.parametrize("name", ("v3", "v7", "v3-tekken"))
@pytest.mark.parametrize("case", LONG_TEXTS)
def test_long_texts(name: str, case: str) -> None:
    """Texts of more than a million characters take another way than the same in a batch."""
    found, text = tokenizer(name), LONG_TEXTS[case]()
    assert len(text) > 1 << 20
    (row,) = found.encode_batch([text])
    assert found.encode(text) == row
    assert found.encode(text, bos=True, eos=True) == [found.bos_id, *row, found.eos_id]
    assert found.encode_array(text, bos=True, eos=True).tolist() == [found.bos_id, *row, found.eos_id]
    assert found.encode_array(text, eos=True).tolist() == [*row, found.eos_id]
    assert found.count(text) == len(row)
    assert found.decode(row) == (text.replace(SPACE, " ") if found.family == "sentencepiece" else text)
    grown = found.encode(text)
    assert sys.getsizeof(grown) <= 9 * len(grown) + 1000
    grown += grown[:1000]
    assert grown == row + row[:1000]
    with pytest.raises(ValueError, match=rf"^text\[{len(text)}\] is U\+D800"):
        found.encode(text + "\ud800")


def test_the_symbols_of_the_drawn_vocabularies_have_all_sizes() -> None:
    assert {len(symbol.encode()) for symbol in SYMBOLS} == {1, 2, 3, 4}
