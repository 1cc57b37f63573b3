"""Memory of large results: kept for the next one when it is given up, and never shared by two."""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import pytest

from mistral_tok import Tokenizer
from mistral_tok.core.block import Block

SIZES = [0, 1, 4095, (1 << 18) - 1, 1 << 18, (1 << 20) - 1, 1 << 20, (1 << 21) - 64, 1 << 21, 9_000_000, 30_000_000]


@pytest.mark.parametrize("size", SIZES)
def test_all_of_it_can_be_written(size: int) -> None:
    block = Block(size)
    assert len(block) == size
    array = np.frombuffer(block, np.uint8)
    assert array.size == size and array.flags.writeable
    array[:] = np.arange(size, dtype=np.uint32).astype(np.uint8)
    assert bytes(block) == (bytes(range(256)) * (size // 256 + 1))[:size]


def test_blocks_that_live_at_once_are_apart() -> None:
    blocks = [Block(size) for size in SIZES for _ in range(3)]
    arrays = [np.frombuffer(block, np.uint8) for block in blocks]
    for i, array in enumerate(arrays):
        array[:] = i
    del blocks
    assert all((array == i).all() for i, array in enumerate(arrays))


def test_an_array_keeps_its_block() -> None:
    array = np.frombuffer(Block(1 << 20), np.uint8)
    array[:] = 7
    others = [np.frombuffer(Block(1 << 20), np.uint8) for _ in range(5)]
    for other in others:
        other[:] = 1
    assert (array == 7).all()


@pytest.mark.parametrize(("size", "error"), [(-1, ValueError), (1 << 62, MemoryError), (1 << 80, OverflowError)])
def test_sizes_that_there_are_not(size: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        Block(size)


@pytest.mark.parametrize("words", [50_000, 70_000, 140_000, 270_000, 600_000])
def test_results_of_every_size(words: int) -> None:
    """Ids and spans below and above the sizes from which they lie in a block, in small pages and in huge ones."""
    tokenizer = Tokenizer.bundled("v3-tekken")
    text = "the " * words
    arrays = [tokenizer.encode_array(text), tokenizer.encode_array(text.replace("t", "T", 1))]
    found = tokenizer.encode_with_offsets(text)
    ragged, splits = tokenizer.encode_ragged([text, text])
    row = tokenizer.encode(text)
    assert found.ids == row == arrays[0].tolist()
    assert ragged.tolist() == row + row and splits.tolist() == [0, len(row), 2 * len(row)]
    assert arrays[1].tolist() == tokenizer.encode(text.replace("t", "T", 1))
    spans = found.offsets
    assert (spans[1:, 0] == spans[:-1, 1]).all() and spans[0, 0] == 0 and spans[-1, 1] == len(text)


@pytest.mark.parametrize("words", [0, 1, 40, 200_000, 1_500_000])
def test_nothing_that_an_array_is_made_of_can_be_resized(words: int) -> None:
    """An array does not know where its memory is after that."""
    tokenizer = Tokenizer.bundled("v3-tekken")
    text = "the " * words
    arrays = [tokenizer.encode_array(text), tokenizer.encode_with_offsets(text).offsets]
    arrays += tokenizer.encode_ragged([text, text], threads=1)
    for array in arrays:
        base = array.base
        while isinstance(base, np.ndarray):
            base = base.base
        if isinstance(base, memoryview):
            base = base.obj
        if isinstance(base, bytearray):
            with pytest.raises(BufferError):
                base.append(0)
        elif base is not None:
            assert type(base).__name__ in ("Small", "Block") and not hasattr(base, "resize")


def test_threads() -> None:
    tokenizer = Tokenizer.bundled("v3-tekken")
    texts = [f"{word} " * 150_000 for word in ("one", "two", "three", "four")]
    expected = [tokenizer.encode(text) for text in texts]
    wrong: list[int] = []

    def work(k: int) -> None:
        for _ in range(10):
            if tokenizer.encode_array(texts[k]).tolist() != expected[k]:
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("name", ["v3", "v3-tekken"])
@pytest.mark.parametrize(
    "text", ["🫠" * 100_000, "a" + "🫠" * 90_000, "é" * 300_000, "\n" * 300_000, "漢字 " * 200_000]
)
def test_ids_that_outgrow_what_was_lent(name: str, text: str) -> None:
    """A block has room for three ids a character; four bytes of a character may become four ids."""
    tokenizer = Tokenizer.bundled(name)
    ids = tokenizer.encode(text, bos=True, eos=True)
    for _ in range(2):
        assert tokenizer.encode_array(text, bos=True, eos=True).tolist() == ids
    whole, splits = tokenizer.encode_ragged([text, "", text, "x"], bos=True, eos=True, threads=1)
    assert [whole[a:b].tolist() for a, b in pairwise(splits)] == [
        tokenizer.encode(each, bos=True, eos=True) for each in (text, "", text, "x")
    ]
    assert tokenizer.count_batch([text, "", text]) == [len(ids) - 2, 0, len(ids) - 2]


def test_a_call_that_fails_leaves_the_tokenizer_as_it_was() -> None:
    tokenizer = Tokenizer.bundled("v3")
    good = "word " * 100_000
    ids = tokenizer.encode_array(good).tolist()
    with pytest.raises(ValueError, match=r"U\+D800"):
        tokenizer.encode_array(good + "\ud800")
    with pytest.raises(ValueError, match=r"U\+D800"):
        tokenizer.encode_ragged([good, good + "\ud800"], threads=1)
    assert tokenizer.encode_array(good).tolist() == ids
    assert tokenizer.encode_ragged([good], threads=1)[0].tolist() == ids
