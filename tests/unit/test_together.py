"""Batches on several threads: the same as text by text, whatever the sizes, and nothing left behind after an error."""

from __future__ import annotations

import random
import sys
import threading
import time
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import tokenizer

from mistral_tok import Tokenizer
from mistral_tok.vocab import NEVER, SPACE, Kind, Vocabulary

NAMES = ["v3", "v3-tekken", "v1"]
WORDS = ["The", " quick", " brünett", " 狐", " Лиса", " jumps", "\n\n", " 12345", " 👍🏽", " over", " “lazy”", " dogs."]


class Text(str):
    """A str of a class of its own."""


def texts_of(sizes: list[int], seed: int = 1) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(WORDS, k=size)) for size in sizes]


def mixed(seed: int) -> list[str]:
    """Enough for several threads: no texts at all, short ones, and one that is half of the batch."""
    rng = random.Random(seed)
    sizes = [0, 1, *(rng.choice([0, 1, 5, 50, 400, 1500]) for _ in range(250)), 20_000, 0]
    return texts_of(sizes, seed)


def assert_same(tok: Tokenizer, texts: list[str], threads: int, **ends: bool) -> None:
    expected = [tok.encode(text, **ends) for text in texts]
    assert tok.encode_batch(texts, threads=threads, **ends) == expected
    ids, splits = tok.encode_ragged(texts, threads=threads, **ends)
    assert ids.dtype == np.int32 and splits.dtype == np.int64 and splits.shape == (len(texts) + 1,)
    assert splits[0] == 0 and splits.tolist()[1:] == np.cumsum([len(row) for row in expected]).tolist()
    assert ids.tolist() == [i for row in expected for i in row]
    if not ends:
        assert tok.count_batch(texts, threads=threads) == [len(row) for row in expected]


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("name", NAMES)
def test_the_same_on_any_number_of_threads(name: str, threads: int) -> None:
    assert_same(tokenizer(name), mixed(threads), threads)
    assert_same(tokenizer(name), mixed(threads + 100), threads, bos=True, eos=True)


@pytest.mark.parametrize("threads", [1, 4])
def test_more_than_fits_into_one_batch(threads: int) -> None:
    tok = tokenizer("v3-tekken")
    texts = texts_of([30_000] * 40)
    assert sum(len(text.encode()) for text in texts) > 6 << 20
    assert_same(tok, [*texts, "end"], threads)


def test_one_text_that_is_larger_than_a_batch() -> None:
    tok = tokenizer("v3")
    long = texts_of([600_000])[0]
    assert len(long) > 2_000_000
    assert_same(tok, ["a", long, "b"], 3)


@pytest.mark.parametrize("texts", [[], [""], ["", ""], ["a"]])
@pytest.mark.parametrize("threads", [None, 1, 2])
def test_hardly_any_text(texts: list[str], threads: int | None) -> None:
    tok = tokenizer("v3")
    assert tok.encode_batch(texts, threads=threads) == [tok.encode(text) for text in texts]
    ids, splits = tok.encode_ragged(texts, threads=threads, bos=True)
    assert splits.tolist() == list(np.cumsum([0, *(len(tok.encode(text, bos=True)) for text in texts)]))
    assert ids.size == splits[-1]
    assert tok.count_batch(texts, threads=threads) == [tok.count(text) for text in texts]


@pytest.mark.parametrize("where", [0, 100, 252])
@pytest.mark.parametrize("threads", [1, 4])
def test_half_a_pair_of_surrogates(threads: int, where: int) -> None:
    """In strings that Python converts, and in those that the core does."""
    tok = tokenizer("v3-tekken")
    for broken in ("ab\ud800", "x" * 300 + "\u2019\udc00" + "y" * 300):
        texts = mixed(5)
        texts[where] = broken
        with pytest.raises(ValueError, match=rf"texts\[{where}\]"):
            tok.encode_batch(texts, threads=threads)
        with pytest.raises(ValueError, match=rf"texts\[{where}\]"):
            tok.encode_ragged(texts, threads=threads)
        found = tok.encode_batch(texts, threads=threads, errors="replace")
        assert found == [tok.encode(text, errors="replace") for text in texts]
    assert_same(tok, mixed(6), threads)


@pytest.mark.parametrize("bad", [None, 5, b"bytes", ["a"]])
@pytest.mark.parametrize("call", ["encode_batch", "encode_ragged", "count_batch"])
@pytest.mark.parametrize("threads", [None, 1, 2])
def test_what_is_no_text(call: str, bad: Any, threads: int | None) -> None:
    texts: list[Any] = mixed(2)
    texts[77] = bad
    with pytest.raises(TypeError, match=r"texts\[77\] is of type"):
        getattr(tokenizer("v3"), call)(texts, threads=threads)


@pytest.mark.parametrize("name", NAMES)
def test_classes_derived_from_str(name: str) -> None:
    tok = tokenizer(name)
    plain = mixed(3)
    assert tok.encode_batch([Text(text) for text in plain], threads=2) == [tok.encode(text) for text in plain]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_more_ids_than_bytes(threads: int) -> None:
    """Where a space is put behind user-defined pieces of one byte, two bytes make three ids: none may be lost."""
    words = [SPACE, "~", "\n"]
    pieces = (b"<unk>", b"<s>", *(bytes([i]) for i in range(256)), *(word.encode() for word in words))
    kinds = bytes([Kind.UNKNOWN, Kind.CONTROL, *[Kind.BYTE] * 256, Kind.NORMAL, Kind.NORMAL, Kind.USER_DEFINED])
    ranks = array("I", [NEVER] * 258 + [0, 1, 2])
    vocab = Vocabulary("made", "sentencepiece", "", pieces, kinds, ranks, prefix="always", bos_id=1, unk_id=0,
                       config={"prefix_scope": "segment"})  # fmt: skip
    tok = Tokenizer.from_vocabulary(vocab)
    text = "~\n" * 6000
    expected = [tok.id(SPACE), tok.id("~"), tok.id("\n")] * 6000
    for count in (2, 20, 60):
        assert tok.encode_batch([text] * count, threads=threads) == [expected] * count
        ids, splits = tok.encode_ragged([text] * count, threads=threads)
        assert ids.tolist() == expected * count
        assert splits.tolist() == list(range(0, len(ids) + 1, len(expected)))


def running() -> int:
    """Threads of this process, also such as Python knows nothing of."""
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_nothing_is_left_running() -> None:
    tok = tokenizer("v3")
    texts = mixed(4)
    before = running()
    for _ in range(20):
        tok.encode_batch(texts, threads=4)
        with pytest.raises(ValueError, match="surrogate"):
            tok.encode_batch([*texts, "\ud800"], threads=4)
    until = time.monotonic() + 10
    while running() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert running() <= before


def test_batches_in_many_threads_at_once() -> None:
    tok = Tokenizer.bundled("v3-tekken", table_bytes=1 << 16)
    batches = [mixed(seed) for seed in range(6)]
    expected = [[tok.encode(text) for text in texts] for texts in batches]
    found: dict[int, list[list[int]]] = {}

    def run(i: int) -> None:
        for _ in range(5):
            found[i] = tok.encode_batch(batches[i], threads=2)

    workers = [threading.Thread(target=run, args=(i,)) for i in range(len(batches))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [found[i] for i in range(len(batches))] == expected
