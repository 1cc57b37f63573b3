"""Decoding around each of its limits: how wide a slot is, what has none, what ids come in, and who refuses first."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import tokenizer

from mistral_tok import Tokenizer
from mistral_tok.vocab import NEVER, SPACE, Kind, Vocabulary

# A slot holds 15 characters below U+0100 or 7 others, and none beyond U+FFFF; a whole one is written where 16 fit.
WORDS = (
    *("a" * n for n in (1, 2, 14, 15, 16, 17, 40)),
    *("é" * n for n in (1, 15, 16)),
    *("ж" * n for n in (1, 6, 7, 8, 9, 20)),
    *("abcжdé", "abcdefж", "abcdefgж", "\x7f", "\x80", "\xff", "\u0100", "語", "\uffff"),
    *("𝄞", "a𝄞", "\U0010ffff"),
)
STARTS = tuple(SPACE + word for word in WORDS)
FOREIGN = {"format": "tokenizer.json"}


def made(words: tuple[str, ...], family: Any, kind: Kind = Kind.NORMAL, **fields: Any) -> Vocabulary:
    """A vocabulary of an unknown piece, a control id, all bytes, and words that nothing merges into."""
    marked = family == "sentencepiece"
    words = (SPACE, *words) if marked else tuple(w.replace(SPACE, " ") for w in words if len(w.encode()) > 1)
    pieces = (b"<unk>", b"<s>", *(bytes([i]) for i in range(256)), *(word.encode() for word in words))
    kinds = [Kind.NORMAL if word == SPACE else kind for word in words]
    return Vocabulary(
        "made",
        family,
        "",
        pieces,
        bytes([Kind.UNKNOWN if marked else Kind.CONTROL, Kind.CONTROL, *[Kind.BYTE] * 256, *kinds]),
        array("I", [NEVER] * len(pieces)),
        prefix="always" if marked else "never",
        bos_id=1,
        eos_id=1,
        unk_id=0 if marked else None,
        **fields,
    )


@cache
def wide(family: str, foreign: bool = False) -> Tokenizer:
    return Tokenizer.from_vocabulary(made(WORDS + STARTS, family, config=FOREIGN if foreign else {}))


def assert_held_as_python_does(text: str) -> None:
    """A string must be of the least width that its characters need, or it equals no other."""
    fresh = text.encode().decode()
    assert text == fresh and hash(text) == hash(fresh)
    if len(text) > 1:  # one character may be an object that others have used, and hold more than itself
        assert sys.getsizeof(text) == sys.getsizeof(fresh)


@pytest.mark.parametrize("family", ["sentencepiece", "tekken"])
@pytest.mark.parametrize("foreign", [False, True])
def test_pieces_of_all_widths_side_by_side(family: str, foreign: bool) -> None:
    found = wide(family, foreign)
    words = {found.id(w if family == "sentencepiece" else w.replace(SPACE, " ")): w for w in WORDS + STARTS}
    for row in [[i] for i in words] + [list(pair) for pair in product(words, words)]:
        text = "".join(words[i] for i in row).replace(SPACE, " ")
        text = text.removeprefix(" ") if family == "sentencepiece" else text
        decoded = found.decode(row)
        assert decoded == text
        assert_held_as_python_does(decoded)
        assert found.decode([1, *row, 1]) == found.decode(tuple(row)) == found.decode(np.array(row)) == text


@pytest.mark.parametrize("family", ["sentencepiece", "tekken"])
def test_the_end_of_a_string_at_every_distance_from_a_piece(family: str) -> None:
    """Whole slots are written as long as the string has room for them, whatever follows."""
    found = wide(family)
    for word, unit, n in product(WORDS, ("a", "é", "ж", "𝄞"), range(1, 34)):
        decoded = found.decode([found.id(unit)] * n + [found.id(word)] + [found.id(unit)] * (33 - n))
        assert decoded == unit * n + word + unit * (33 - n)
        assert_held_as_python_does(decoded)


@pytest.mark.parametrize("foreign", [False, True])
def test_byte_pieces_that_are_characters(foreign: bool) -> None:
    """They end no run and keep their neighbours, and a space among them is never the dropped one."""
    found = wide("sentencepiece", foreign)
    a, byte = found.id("a"), lambda b: found.id(f"<0x{b:02X}>")
    for b in range(128):
        assert found.decode([a, byte(b), a]) == f"a{chr(b)}a"
        assert found.decode([found.id(SPACE + "a"), byte(b)]) == f"a{chr(b)}"
        bad = "\ufffd\ufffd" if foreign else f"\ufffd{chr(b)}"
        assert found.decode([byte(0xE4), byte(b)]) == bad
        assert found.decode([a, *(byte(x) for x in "é".encode()), byte(b), byte(0xFF)]) == (
            "a" + "\ufffd" * 4 if foreign else f"aé{chr(b)}\ufffd"
        )
    assert found.decode([byte(32), a]) == ("a" if foreign else " a")
    assert found.decode([byte(32), found.id(SPACE + "a")]) == (" a" if foreign else "  a")


def test_a_run_that_is_replaced_leaves_no_width_behind() -> None:
    """The valid characters before the bad byte are replaced, too, and must not make the string wider."""
    found = wide("sentencepiece", True)
    run = [found.id(f"<0x{b:02X}>") for b in "𝄞".encode() + b"\xff"]
    decoded = found.decode([found.id("a"), *run])
    assert decoded == "a" + "\ufffd" * 5
    assert_held_as_python_does(decoded)


def test_the_leading_space_behind_control_ids() -> None:
    found = wide("sentencepiece")
    for word in STARTS:
        plain = word.removeprefix(SPACE)
        for before in ([], [1], [1, 1, 1]):
            assert found.decode([*before, found.id(word), found.id(word)]) == f"{plain} {plain}"
    assert found.decode([found.id(SPACE), found.id("a")]) == "a"
    assert found.decode([found.id(SPACE)]) == ""
    assert found.decode([0, found.id(SPACE + "a")]) == " \u2047  a"
    assert found.decode([1, found.id(SPACE + "a")], special="keep") == "<s>a"
    assert wide("sentencepiece", True).decode([1, found.id(SPACE + "a")], special="keep") == "<s> a"


class Id(int):
    """A class derived from int."""


class Index:
    """Something that is no int, but says which int it stands for."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


AS_GOOD: tuple[Callable[[int], Any], ...] = (Id, Index, np.int64, np.uint16, np.int32)
BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "bool": (True, TypeError, r"is True of type bool"),
    "None": (None, TypeError, r"is None of type NoneType"),
    "numpy bool": (np.True_, TypeError, r"is .*True_? of type bool"),
    "float": (5.0, TypeError, r"is 5.0 of type float"),
    "negative": (-1, ValueError, r"is -1; this vocabulary has the ids 0 to"),
    "derived and negative": (Id(-5), ValueError, r"is -5; this"),
    "one digit too many": (1 << 30, ValueError, r"is 1073741824; this"),
    "equal to an id below 32 bits": ((1 << 32) + 300, ValueError, r"is 4294967596; this"),
    "equal to an id below 64 bits": ((1 << 64) + 300, ValueError, r"is 18446744073709551916; this"),
    "huge": (-(1 << 200), ValueError, r"is -16069"),
}


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("length", [1, 23, 24, 25, 26, 60])
def test_items_of_lists_at_every_place(kind: Callable[[Any], Any], length: int) -> None:
    """Objects are asked for 24 places ahead; what is no plain int is looked at again, from the beginning."""
    found = tokenizer("v3-tekken")
    row = list(range(2000, 2000 + length))
    text = found.decode(np.array(row))
    assert found.decode(kind(row)) == text
    for i in range(length):
        for good in AS_GOOD:
            assert found.decode(kind([*row[:i], good(row[i]), *row[i + 1 :]])) == text
        for value, error, message in BAD.values():
            with pytest.raises(error, match=rf"^ids\[{i}\] {message}"):
                found.decode(kind([*row[:i], value, *row[i + 1 :]]))
        with pytest.raises(ValueError, match=rf"^ids\[{i}\] is {found.vocab_size}; .* 0 to {found.vocab_size - 1}"):
            found.decode(kind([*row[:i], found.vocab_size, *row[i + 1 :]]))


INTEGERS = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", ["v3", "v3-tekken"])
def test_arrays_of_integers(name: str, dtype: type[np.integer[Any]]) -> None:
    found = tokenizer(name)
    rng = np.random.default_rng(0)
    for n in (0, 1, 7, 100):
        row = rng.integers(0, min(found.vocab_size, np.iinfo(dtype).max + 1), n).astype(dtype)
        text = found.decode([int(i) for i in row])
        for ids in (row, row[::-1][::-1], np.repeat(row, 2)[::2], row.astype(np.dtype(dtype).newbyteorder())):
            assert found.decode(ids) == text
        assert found.decode_bytes(row) == found.decode_bytes(row.tolist())
        assert found.stream().push(row) == found.stream().push(row.tolist())
    assert found.decode_batch(np.full((2, 3), 100, dtype)) == [found.decode([100] * 3)] * 2


NO_IDS = (
    *((np.int32, value) for value in (-1, -(1 << 31), 32768, (1 << 31) - 1)),
    *((np.int64, value) for value in (-1, -(1 << 63), 32768, (1 << 32) + 100, (1 << 63) - 1)),
    *((np.int8, -1), (np.uint16, 65535), (np.uint32, (1 << 32) - 1), (np.uint64, (1 << 64) - 1)),
)


@pytest.mark.parametrize(("dtype", "value"), NO_IDS)
def test_arrays_that_hold_no_ids(dtype: Any, value: int) -> None:
    for i in (0, 1, 5, 39):
        row = np.full(40, 100, dtype)
        row[i:] = value
        with pytest.raises(ValueError, match=rf"^ids\[{i}\] is {value}; this vocabulary has the ids 0 to 32767"):
            tokenizer("v3").decode(row)


def test_which_run_of_byte_pieces_is_refused() -> None:
    """The error names the id behind the run; bytes that are characters belong to it."""
    found = wide("sentencepiece")
    a, byte = found.id("a"), lambda b: found.id(f"<0x{b:02X}>")
    rows = {
        1: [byte(0xE4)],
        2: [byte(0xE4), byte(10), a],
        3: [a, byte(10), byte(0xE4), a, byte(0xFF)],
        4: [byte(10), byte(0xE4), byte(10), byte(10), 1, byte(10)],
        6: [a, a, *(byte(b) for b in "語".encode()[:2]), byte(10), byte(65)],
    }
    for place, row in rows.items():
        with pytest.raises(ValueError, match=rf"^The byte pieces before ids\[{place}\] are not valid UTF-8"):
            found.decode(row, errors="strict")
        assert "\ufffd" in found.decode(row)


def test_a_refused_control_id_and_bytes_that_are_not_valid() -> None:
    """Where control ids end bytes, what comes first is refused; where bytes join across them, control ids are."""
    strict: dict[str, Any] = {"special": "raise", "errors": "strict"}
    for family in ("sentencepiece", "tekken"):
        byte = 2 + 0xE4
        for foreign in (False, True):
            with pytest.raises(ValueError, match=r"^ids\[0\] is 1, the control token"):
                wide(family, foreign).decode([1, byte], **strict)
        with pytest.raises(ValueError, match=r"not valid UTF-8|can't decode byte 0xe4"):
            wide(family).decode([byte, 1], **strict)
        with pytest.raises(ValueError, match=r"^ids\[1\] is 1, the control token"):
            wide(family, True).decode([byte, 1, 300, byte], **strict)


def test_python_says_what_is_not_valid_at_the_byte_level() -> None:
    """The error is that of decoding all bytes of the part, from one control id to the next."""
    a, byte, rows = wide("tekken").id("a"), lambda b: 2 + b, []
    for foreign, part in ((False, b"aa\xe4a\xffa"), (True, b"aaaa\xe4a\xffaa")):
        row = [a, a, 1, a, a, byte(0xE4), a, byte(0xFF), a, 1, a]
        with pytest.raises(UnicodeDecodeError) as caught:
            wide("tekken", foreign).decode(row, errors="strict")
        assert caught.value.object == part and caught.value.start == part.index(b"\xe4")
        rows.append(wide("tekken", foreign).decode(row))
    assert rows == ["aaaa\ufffda\ufffdaa"] * 2


@pytest.mark.parametrize("family", ["sentencepiece", "tekken"])
def test_spans_of_pieces_of_any_length(family: str) -> None:
    """A step of a span holds 126 characters; longer pieces are counted, with anything beside them."""
    words = tuple(c * n for c in "aж" for n in (3, 125, 126, 127, 128, 300, 5000))
    found = Tokenizer.from_vocabulary(made(words, family, Kind.USER_DEFINED))
    plain = Tokenizer.from_vocabulary(made(words, family, Kind.USER_DEFINED, config={"prefix_scope": "segment"}))
    for first, second in product(words, words):
        if first[0] == second[0]:
            continue
        for tokenizer_, between in product((found, plain), ("", "é", " b", SPACE)):
            text = f"{first}{between}{second}语"
            encoding = tokenizer_.encode_with_offsets(text, bos=True, eos=True)
            spans = encoding.offsets.tolist()
            assert encoding.ids == tokenizer_.encode(text, bos=True, eos=True) and encoding.ids[0] == 1
            assert spans[0] == [0, 0] and spans[-1] == [len(text)] * 2
            assert [len(first) + len(between), len(text) - 1] in spans and [0, len(first)] in spans
            assert spans[-4:-1] == [[len(text) - 1, len(text)]] * 3


def test_spans_over_text_that_is_left_out() -> None:
    """BOS and EOS stand at the ends of the whole text, and surrogates are counted as they were given."""
    vocab = made((), "bytelevel", pattern=r"[^\s]+", config={"unmatched": "drop"})
    expected = {
        "": [[0, 0], [0, 0]],
        "  ": [[0, 0], [2, 2]],
        " ab  c ": [[0, 0], [1, 2], [2, 3], [5, 6], [7, 7]],
        "é \ud83d\ude00 x": [[0, 0], *[[0, 1]] * 2, *[[2, 4]] * 4, [5, 6], [6, 6]],
    }
    for text, spans in expected.items():
        found = Tokenizer.from_vocabulary(vocab)
        assert found.encode_with_offsets(text, bos=True, eos=True, errors="replace").offsets.tolist() == spans
        assert found.encode_with_offsets(text, errors="replace").offsets.tolist() == spans[1:-1]
