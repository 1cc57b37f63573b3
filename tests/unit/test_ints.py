"""Ids in lists: int objects that all lists share, which no number of lists ever uses up."""

from __future__ import annotations

import gc
import json
import pickle
import sys
import threading
import weakref
from array import array

import pytest

from mistral_tok import Tokenizer
from mistral_tok.vocab import NEVER, Kind, Vocabulary

TEXTS = ["Hello, world", "", "日本語 123", "naïve café ☃", "x" * 40]


def of_size(pieces: int) -> Tokenizer:
    """A vocabulary with that many pieces: bytes, the space mark, and characters from U+10000 on."""
    normal = pieces - 258
    kinds = bytes([Kind.UNKNOWN, Kind.CONTROL, *[Kind.BYTE] * 256, *[Kind.NORMAL] * normal])
    ranks = array("I", [NEVER] * 258 + list(range(normal)))
    characters = ("\u2581".encode(), *(chr(0x10000 + i).encode() for i in range(normal - 1)))
    every = (b"<unk>", b"<s>", *(bytes([i]) for i in range(256)), *characters)
    return Tokenizer.from_vocabulary(Vocabulary("made", "sentencepiece", "", every, kinds, ranks, bos_id=1, unk_id=0))


@pytest.mark.parametrize("name", ["v3", "v3-tekken"])
def test_ids_are_plain_ints(name: str) -> None:
    tokenizer = Tokenizer.bundled(name)
    for text in TEXTS:
        ids = tokenizer.encode(text)
        own = [int(str(i)) for i in ids]
        assert ids == own == tokenizer.encode_array(text).tolist()
        assert all(type(i) is int for i in ids)
        assert list(map(hash, ids)) == list(map(hash, own))
        assert json.loads(json.dumps(ids)) == pickle.loads(pickle.dumps(ids)) == own
        assert [i + 1 for i in ids] == [i + 1 for i in own]
        assert len({*ids, *own}) == len(set(own))


def test_every_id_of_a_vocabulary() -> None:
    tokenizer = Tokenizer.bundled("v3-tekken")
    for i in range(tokenizer.vocab_size):
        surface = tokenizer.decode_bytes([i], special="keep")
        try:
            ids = tokenizer.encode(surface.decode())
        except UnicodeDecodeError:
            continue
        assert tokenizer.encode_array(surface.decode()).tolist() == ids


def test_lists_use_nothing_up() -> None:
    tokenizer = Tokenizer.bundled("v3")
    ids = tokenizer.encode("Hello, world " * 100)
    before = [sys.getrefcount(i) for i in ids[:3]]
    for _ in range(1000):
        tokenizer.encode("Hello, world " * 100)
        tokenizer.encode_batch(["Hello, world " * 10] * 10)
    gc.collect()
    for i, count in zip(ids[:3], before, strict=True):
        assert sys.getrefcount(i) > 1 << 30
        assert abs(sys.getrefcount(i) - count) < 1 << 24
    assert ids == tokenizer.encode("Hello, world " * 100)


def test_a_larger_vocabulary_later() -> None:
    """New objects are made, and those of lists that are there stay."""
    small, last = of_size(400), chr(0x10000 + 150_000 - 260)
    kept = small.encode("Hi\U00010000")
    large = of_size(150_000)
    assert large.encode(last + "\U00010000")[-2:] == [149_999, 259]
    assert kept == small.encode("Hi\U00010000") == small.encode_array("Hi\U00010000").tolist()
    assert kept[-1] == 259


class Held:
    """An object that can be watched, and that the garbage collector visits."""


@pytest.mark.parametrize("threads", [1, 2])
def test_rows_are_lists_that_the_garbage_collector_does_not_visit(threads: int) -> None:
    tokenizer = Tokenizer.bundled("v3")
    rows = tokenizer.encode_batch(TEXTS * 2000, threads=threads)
    assert rows == [tokenizer.encode(text) for text in TEXTS] * 2000
    assert not any(gc.is_tracked(row) for row in [*rows, tokenizer.encode("a"), tokenizer.encode("a" * 2_000_000)])
    rows[0].append(rows[1])
    rows[1].extend([1, "a", None])
    rows[2].insert(0, 5)
    del rows[3][:1]
    assert rows[0][-1] is rows[1] and rows[1][-3:] == [1, "a", None] and rows[2][0] == 5
    held = [Held(), Held()]
    alive = [weakref.ref(one) for one in held]
    rows[4].extend(held)  # what nothing but a row refers to
    del held
    gc.collect()
    assert all(one() is not None for one in alive)
    rows[4].sort(key=str)
    assert gc.is_tracked(rows[4][:]) and gc.is_tracked(rows[4] * 2)
    del rows
    assert all(one() is None for one in alive)


def test_first_lists_on_many_threads() -> None:
    found: list[list[int]] = []
    tokenizer = Tokenizer.bundled("v7")
    workers = [threading.Thread(target=lambda: found.append(tokenizer.encode("Grüße " * 20))) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [tokenizer.encode("Grüße " * 20)] * 8
