"""`Tokenizer`: what each call accepts, refuses and returns."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import MARKED, NAMES, TEKKEN, TINY, documents, tokenizer, vocabulary

from mistral_tok import Tokenizer, VocabularyError
from mistral_tok.vocab import SPACE, Kind

TOKENIZER = tokenizer("v3-tekken")
SIZE = TOKENIZER.vocab_size


class Name(str):
    """A class derived from str, as numpy and template engines have them."""

    def __str__(self) -> str:
        return "something else"


class Row(list[int]):
    """A class derived from list."""


class Pair(tuple[int, int]):
    """A class derived from tuple."""


class Index:
    """Something that is no int, but says which int it stands for."""

    def __index__(self) -> int:
        return 2000


NOT_TEXT = {"None": None, "bytes": b"abc", "int": 5, "list": ["a"], "bytearray": bytearray(b"a"), "float": 1.5}
ONE_TEXT: dict[str, Callable[[Any], object]] = {
    "encode": TOKENIZER.encode,
    "encode_array": TOKENIZER.encode_array,
    "encode_with_offsets": TOKENIZER.encode_with_offsets,
    "count": TOKENIZER.count,
}
MANY_TEXTS: dict[str, Callable[..., object]] = {
    "encode_batch": TOKENIZER.encode_batch,
    "encode_ragged": TOKENIZER.encode_ragged,
    "count_batch": TOKENIZER.count_batch,
}


@pytest.mark.parametrize("call", ONE_TEXT)
@pytest.mark.parametrize("case", NOT_TEXT)
def test_what_is_no_text(call: str, case: str) -> None:
    value = NOT_TEXT[case]
    with pytest.raises(TypeError, match=rf"^text is of type {type(value).__name__}; expected str"):
        ONE_TEXT[call](value)


@pytest.mark.parametrize("call", MANY_TEXTS)
@pytest.mark.parametrize("case", NOT_TEXT)
def test_what_is_no_text_in_a_batch(call: str, case: str) -> None:
    value = NOT_TEXT[case]
    with pytest.raises(TypeError, match=rf"^texts\[1\] is of type {type(value).__name__}; expected str"):
        MANY_TEXTS[call](["a", value, None])


@pytest.mark.parametrize("call", MANY_TEXTS)
@pytest.mark.parametrize("texts", [None, "abc", b"abc", 5])
def test_what_is_no_batch(call: str, texts: Any) -> None:
    with pytest.raises(TypeError, match=rf"^texts is of type {type(texts).__name__}"):
        MANY_TEXTS[call](texts)


@pytest.mark.parametrize("call", MANY_TEXTS)
@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True])
def test_what_is_no_number_of_threads(call: str, threads: Any) -> None:
    with pytest.raises(ValueError, match=r"^threads is .*; expected None or a number from 1 on"):
        MANY_TEXTS[call](["a"], threads=threads)


@pytest.mark.parametrize("call", ONE_TEXT)
def test_surrogates_are_named(call: str) -> None:
    for text, at in (("ab\ud800c", 2), ("\udfff", 0), ("é" * 5000 + "\udc80", 5000), ("x\ud83d\ude00", 1)):
        with pytest.raises(ValueError, match=rf"^text\[{at}\] is U\+{ord(text[at]):04X}, a surrogate") as caught:
            ONE_TEXT[call](text)
        assert "errors='replace'" in str(caught.value) and not isinstance(caught.value, UnicodeError)
        with pytest.raises(ValueError, match=r"^errors is 'ignore'"):
            ONE_TEXT[call](text, errors="ignore")  # type: ignore[call-arg]


@pytest.mark.parametrize("call", MANY_TEXTS)
def test_surrogates_in_a_batch_are_named(call: str) -> None:
    batch = ["a", "b" * 200_000, "c\ud800", "\ud800"]
    for threads in (1, 3):
        with pytest.raises(ValueError, match=r"^texts\[2\]\[1\] is U\+D800"):
            MANY_TEXTS[call](batch, threads=threads)
        MANY_TEXTS[call](batch, threads=threads, errors="replace")


@pytest.mark.parametrize("name", ("v3", "v3-tekken"))
def test_classes_derived_from_str_are_text(name: str) -> None:
    found = tokenizer(name)
    expected = found.encode("Hello é")
    for text in (Name("Hello é"), np.str_("Hello é")):
        assert found.encode(text) == expected
        assert found.encode_array(text).tolist() == expected
        assert found.count(text) == len(expected)
        assert found.encode_with_offsets(text).ids == expected
        assert found.encode_batch([text, text]) == [expected] * 2
    with pytest.raises(ValueError, match=r"^text\[1\] is U\+D800"):
        found.encode(Name("a\ud800"))


GOOD_IDS = {
    "int": 2000,
    "numpy int": np.int64(2000),
    "index": Index(),
    "list": [2000],
    "list of numpy ints": [np.uint16(2000)],
    "list of an index": [Index()],
    "derived list": Row([2000]),
    "tuple": (2000,),
    "range": range(2000, 2001),
    "array": array("H", [2000]),
    "memoryview": memoryview(array("I", [2000])),
    "iterator": "iter",
    **{f"numpy {t.__name__}": np.array([2000], t) for t in (np.int16, np.uint16, np.int32, np.int64, np.uint64)},
    "numpy scalar array": np.array(2000),
    "numpy, big-endian": np.array([2000], ">i4"),
    "numpy, strided": np.array([2000, 5, 2000, 5], np.int32)[::4],
}


@pytest.mark.parametrize("case", GOOD_IDS)
def test_ids_of_every_promised_type(case: str) -> None:
    expected = TOKENIZER.piece(2000)
    fresh = lambda: iter([2000]) if case == "iterator" else GOOD_IDS[case]  # noqa: E731
    assert TOKENIZER.decode(fresh()) == expected
    assert TOKENIZER.decode_batch([fresh(), fresh()]) == [expected] * 2
    assert TOKENIZER.stream().push(fresh()) == expected


@pytest.mark.parametrize("case", GOOD_IDS)
def test_decode_bytes_takes_the_same(case: str) -> None:
    ids = iter([2000]) if case == "iterator" else GOOD_IDS[case]
    assert TOKENIZER.decode_bytes(ids) == TOKENIZER.piece_bytes(2000)
    assert TOKENIZER.decode_bytes([]) == b""


def test_torch_tensors_are_ids() -> None:
    torch = pytest.importorskip("torch")
    assert TOKENIZER.decode(torch.tensor([2000, 2001])) == TOKENIZER.decode([2000, 2001])
    assert TOKENIZER.decode(torch.tensor(2000)) == TOKENIZER.decode(2000)
    assert TOKENIZER.decode_batch(torch.tensor([[2000], [2001]])) == TOKENIZER.decode_batch([[2000], [2001]])
    with pytest.raises(ValueError, match="one dimension"):
        TOKENIZER.decode(torch.tensor([[2000]]))
    for wrong in (torch.tensor([1.0]), torch.tensor([1.0], requires_grad=True), torch.tensor([True])):
        with pytest.raises(TypeError, match="expected integers"):
            TOKENIZER.decode(wrong)


BAD_IDS: dict[str, tuple[Any, type[Exception], str]] = {
    "None": (None, TypeError, "^ids is of type NoneType"),
    "float": (1.5, TypeError, "^ids is of type float"),
    "bool": (True, TypeError, r"^ids\[0\] is True of type bool"),
    "str": ("12", TypeError, "^ids is of type str"),
    "bytes": (b"12", TypeError, "^ids is of type bytes"),
    "dict": ({1: 2}, TypeError, "^ids is of type dict"),
    "set": ({1, 2}, TypeError, "^ids is of type set"),
    "negative": ([5, -1], ValueError, r"^ids\[1\] is -1; this vocabulary has the ids 0 to"),
    "too large": ([5, 5, SIZE], ValueError, rf"^ids\[2\] is {SIZE}; this vocabulary has the ids 0 to {SIZE - 1}"),
    "over 32 bits": ([2**40], ValueError, r"^ids\[0\] is 1099511627776"),
    "over 64 bits": ([5, 2**70], ValueError, r"^ids\[1\] is 1180591620717411303424"),
    "under 64 bits": ([-(2**70)], ValueError, r"^ids\[0\] is -1180591620717411303424"),
    "over 32 bits in a tuple": ((2**40,), ValueError, r"^ids\[0\] is 1099511627776"),
    "nested": ([[1]], TypeError, r"^ids\[0\] is \[1\] of type list"),
    "None inside": ([5, None], TypeError, r"^ids\[1\] is None of type NoneType"),
    "float inside": ((5, 1.0), TypeError, r"^ids\[1\] is 1.0 of type float"),
    "bool inside": ([True], TypeError, r"^ids\[0\] is True of type bool"),
    "str inside": (["a"], TypeError, r"^ids\[0\] is 'a' of type str"),
    "array of floats": (np.array([1.0]), TypeError, "^ids is an array of float64"),
    "array of bools": (np.array([True]), TypeError, "^ids is an array of bool"),
    "array of objects": (np.array([None]), TypeError, "^ids is an array of object"),
    "array of two dimensions": (np.array([[1]]), ValueError, r"shape \(1, 1\).*decode_batch"),
    "unsigned over 63 bits": (np.array([2**64 - 1], np.uint64), ValueError, r"^ids\[0\] is 18446744073709551615"),
    "object": (object(), TypeError, "^ids is of type object"),
}


@pytest.mark.parametrize("case", BAD_IDS)
@pytest.mark.parametrize("name", ("v3-tekken", "v3"))
def test_what_is_no_id(name: str, case: str) -> None:
    ids, kind, message = BAD_IDS[case]
    found = tokenizer(name)
    if name == "v3" and str(SIZE) in message:
        ids, message = [5, 5, found.vocab_size], message.replace(str(SIZE - 1), "32767").replace(str(SIZE), "32768")
    for call in (found.decode, found.stream().push, lambda ids: found.decode_batch([[5], ids])):
        with pytest.raises(kind, match=message):
            call(ids)


SHRINKS = """
from mistral_tok import Tokenizer
class Clears:
    def __index__(self):
        row.clear()
        return 5
row = [Clears(), *range(300, 3000)]
try:
    Tokenizer.bundled("v3").decode(row)
except (ValueError, TypeError, IndexError, RuntimeError):
    pass
"""


def test_a_list_that_shrinks_while_it_is_read() -> None:
    subprocess.run([sys.executable, "-c", SHRINKS], check=True, timeout=60)


def test_rows_are_named() -> None:
    with pytest.raises(ValueError) as caught:
        TOKENIZER.decode_batch([[1], [2], [-1]])
    assert caught.value.__notes__ == ["This was in rows[2]."]
    for rows in (None, "abc", 5):
        with pytest.raises(TypeError, match=r"^rows is of type"):
            TOKENIZER.decode_batch(rows)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["drop", None, 1, []])
def test_what_is_no_policy(value: Any) -> None:
    for call in (TOKENIZER.decode, lambda ids, special: TOKENIZER.stream(special=special)):
        with pytest.raises(ValueError, match=r"^special is .*; expected 'ignore', 'keep' or 'raise'"):
            call([5], special=value)
    with pytest.raises(ValueError, match=r"^errors is .*; expected 'strict' or 'replace'"):
        TOKENIZER.decode([5], errors=value)


@pytest.mark.parametrize("table_bytes", [-1, 1 << 70, 1.5, None])
def test_what_is_no_bound_of_tables(table_bytes: Any) -> None:
    with pytest.raises(ValueError, match=r"^table_bytes is"):
        Tokenizer.from_file(TINY, table_bytes=table_bytes)


@pytest.mark.parametrize("name", NAMES)
def test_invalid_bytes(name: str) -> None:
    found = tokenizer(name)
    kinds = vocabulary(name).kinds
    row = [
        next(i for i, k in enumerate(kinds) if k == Kind.BYTE and found.piece_bytes(i) == b) for b in (b"\xc3", b"A")
    ]
    assert found.decode(row) == "\ufffdA"
    with pytest.raises(ValueError):
        found.decode(row, errors="strict")
    assert found.decode(row[1:], errors="strict") == "A"


@pytest.mark.parametrize("name", NAMES)
def test_control_tokens(name: str) -> None:
    found = tokenizer(name)
    assert found.bos_id is not None and found.piece(found.bos_id) == "<s>" and found.id("</s>") == found.eos_id
    assert found.special_ids == set(found.special_names.values())
    inner = found.encode("Hi")
    row = [found.bos_id, *inner, found.eos_id]
    assert found.encode("Hi", bos=True, eos=True) == row
    assert found.decode(row) == "Hi"
    # What follows a control token keeps its leading space only where that is not the dummy prefix of the whole text.
    assert found.decode(row, special="keep").replace(" ", "") == "<s>Hi</s>"
    with pytest.raises(ValueError, match=r"^ids\[0\] is 1, the control token '<s>'; decode with special="):
        found.decode(row, special="raise")
    assert found.decode(inner, special="raise") == "Hi"
    for control in found.special_names:
        assert found.id(control) in found.special_ids
        assert not found.special_ids.intersection(found.encode(control))


def test_ends_that_a_vocabulary_does_not_have() -> None:
    vocab = vocabulary("v3")
    bare = Tokenizer.from_vocabulary(type(vocab)(vocab.name, vocab.family, "", vocab.pieces, vocab.kinds, vocab.ranks))
    assert bare.bos_id is None and bare.eos_id is None and bare.unk_id is None
    for ends in ({"bos": True}, {"eos": True}):
        with pytest.raises(ValueError, match=r"has no (bos|eos) token"):
            bare.encode("a", **ends)
        with pytest.raises(ValueError, match=r"has no (bos|eos) token"):
            bare.encode_ragged(["a"], **ends)


@pytest.mark.parametrize("name", NAMES)
def test_pieces_and_ids(name: str) -> None:
    found = tokenizer(name)
    repeated = 0
    for i in range(0, found.vocab_size, 7):
        piece = found.piece(i)
        assert isinstance(piece, str) and isinstance(found.piece_bytes(i), bytes)
        if "\ufffd" in piece and name in TEKKEN:
            repeated += 1  # of incomplete bytes no text tells which they were
        else:
            assert found.id(piece) == i
    assert repeated < found.vocab_size // 70
    for wrong in (-1, found.vocab_size, 2**40, 2**70):
        with pytest.raises(ValueError, match=rf"^id is {wrong}; this vocabulary has the ids 0 to"):
            found.piece(wrong)
    for wrong in (1.0, "1", None, True):
        with pytest.raises(TypeError, match=r"^id is"):
            found.piece_bytes(wrong)  # type: ignore[arg-type]
    for unknown in ("", "no such piece", "\ud800"):
        with pytest.raises(KeyError, match="is no piece of"):
            found.id(unknown)
    with pytest.raises(TypeError, match=r"^piece is of type int"):
        found.id(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MARKED)
def test_how_marked_pieces_are_written(name: str) -> None:
    found = tokenizer(name)
    assert found.piece(found.id("<0x41>")) == "<0x41>" and found.piece_bytes(found.id("<0x41>")) == b"A"
    assert found.piece_bytes(found.id(SPACE + "the")) == b" the"
    assert found.unk_id == 0 and found.piece(0) == "<unk>" and found.id("<unk>") == 0
    assert found.decode([0]) == " \u2047 "


def test_what_a_tokenizer_says_of_itself() -> None:
    assert [Tokenizer.bundled(name).version for name in Tokenizer.bundled_names()] == [
        *("v1", "v2", "v3", "v3", "v3", "v7", "v7"),
    ]
    found = Tokenizer.bundled("v7-mm")
    assert (found.name, found.family, found.vocab_size) == ("v7-mm", "sentencepiece", 32768)
    assert repr(found) == "Tokenizer('v7-mm', family='sentencepiece', version='v7', vocab_size=32768)"
    with pytest.raises(VocabularyError, match="Choose one of v1, v2"):
        Tokenizer.bundled("v8")


def test_arrays_are_the_callers() -> None:
    array_ = TOKENIZER.encode_array("Hello there")
    array_[:] = 0
    joined, _ = TOKENIZER.encode_ragged(["Hello there"])
    joined[:] = 0
    rows = TOKENIZER.encode_batch(["Hello there"])
    rows[0].clear()
    assert TOKENIZER.decode(TOKENIZER.encode("Hello there")) == "Hello there"


def test_empty_batches_and_texts() -> None:
    assert TOKENIZER.encode("") == [] and TOKENIZER.count("") == 0 and TOKENIZER.decode([]) == ""
    assert TOKENIZER.encode("", bos=True, eos=True) == [1, 2]
    assert TOKENIZER.encode_array("").shape == (0,)
    assert TOKENIZER.encode_with_offsets("").offsets.shape == (0, 2)
    assert TOKENIZER.encode_batch([]) == [] and TOKENIZER.count_batch([]) == [] and TOKENIZER.decode_batch([]) == []
    ids, splits = TOKENIZER.encode_ragged([])
    assert (ids.shape, ids.dtype, splits.tolist(), splits.dtype) == ((0,), np.int32, [0], np.int64)
    ids, splits = TOKENIZER.encode_ragged(["", "", ""])
    assert ids.shape == (0,) and splits.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("name", ("v7", "v3-tekken"))
def test_copies(name: str) -> None:
    found = Tokenizer.bundled(name)
    expected = found.encode_batch(documents()[:30])
    pickled = pickle.loads(pickle.dumps(found))
    for other in (copy.copy(found), copy.deepcopy(found), pickled, copy.deepcopy({"a": [found]})["a"][0]):
        assert other.encode_batch(documents()[:30]) == expected
        assert repr(other) == repr(found)
        assert (other.special_names, other.config, other.bos_id) == (found.special_names, found.config, found.bos_id)


@pytest.mark.parametrize("name", ("v7", "v3-tekken"))
def test_threads(name: str) -> None:
    """Many threads in one new tokenizer: the same ids, the same text, streams apart from each other."""
    found = Tokenizer.from_vocabulary(vocabulary(name), table_bytes=1 << 14)
    texts = documents()[:60]
    expected = [tokenizer(name).encode(text) for text in texts]

    def work(shift: int) -> bool:
        order = [*range(shift, len(texts)), *range(shift)]
        stream = found.stream()
        joined = "".join([stream.push(expected[i]) for i in order]) + stream.finish()
        return (
            [found.encode(texts[i]) for i in order] == [expected[i] for i in order]
            and joined == found.decode([id_ for i in order for id_ in expected[i]])
            and found.encode_batch(texts, threads=2) == expected
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))


@pytest.mark.parametrize("size", (1, 700, 40_000, 300_000))
def test_batches_in_parts(size: int) -> None:
    """Texts of many sizes, in as many parts as there may be."""
    texts = ["", "a " * size, "", *["b c"] * size][: 500_000 // size]
    expected = [TOKENIZER.encode(text) for text in texts]
    for threads in (1, 2, 7):
        rows = TOKENIZER.encode_batch(texts, threads=threads)
        assert rows == expected
        assert TOKENIZER.count_batch(texts, threads=threads) == [len(row) for row in expected]
        assert np.diff(TOKENIZER.encode_ragged(texts, threads=threads)[1]).tolist() == [len(row) for row in expected]


FORK = """
import os, sys, threading
from mistral_tok import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[1])
text = "Hello there, general! " * 50
expected = tokenizer.encode(text)
done = threading.Event()
def busy():
    while not done.is_set():
        assert tokenizer.encode_batch([text] * 200) == [expected] * 200
thread = threading.Thread(target=busy)
thread.start()
children = []
for _ in range(5):
    child = os.fork()
    if child == 0:
        fine = tokenizer.encode(text) == expected and tokenizer.decode(expected) == text
        os._exit(0 if fine and tokenizer.encode_batch([text] * 300, threads=3) == [expected] * 300 else 1)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
done.set()
thread.join()
sys.exit(any(codes))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_usable_after_fork_while_another_thread_encodes() -> None:
    subprocess.run([sys.executable, "-c", FORK, str(TINY)], check=True, timeout=60)
