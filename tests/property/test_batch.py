"""Batches: arrays say what lists say, padding and truncation keep what they should, windows cover every id."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistral_tok import MistralCommonTokenizer
from mistral_tok.batch import Rows, ragged
from mistral_tok.load import bundled_path

SIDES = st.sampled_from(["left", "right"])
ROWS = st.lists(st.lists(st.integers(3, 900), max_size=9), max_size=5)
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=5)


@cache
def opened(name: str, mode: str) -> MistralCommonTokenizer:
    return MistralCommonTokenizer(bundled_path(name), mode=mode)


def cut(row: list[int], room: int, side: str) -> list[int]:
    """A row of at most `room` ids, the slow way."""
    while len(row) > room:
        row = row[1:] if side == "left" else row[:-1]
    return row


@given(ROWS, SIDES, SIDES, st.integers(2, 12), st.sampled_from([None, 1]), st.sampled_from([None, 2]))
def test_arrays_equal_the_slow_way(
    given_rows: list[list[int]], cut_side: Any, pad_side: Any, limit: int, head: int | None, tail: int | None
) -> None:
    flat, splits = ragged(given_rows)
    rows = Rows.of(splits, head, tail).truncated(limit, cut_side)
    first, last = [head] * (head is not None), [tail] * (tail is not None)
    expected = [[*first, *cut(row, limit - len(first) - len(last), cut_side), *last] for row in given_rows]
    assert rows.lists(flat, head, tail) == expected
    width = max(map(len, expected), default=0)
    taken = rows.places(width, pad_side)
    array = rows.array(flat, taken, pad_side, -7, (head or 0, tail or 0))
    gaps = [[-7] * (width - len(row)) for row in expected]
    padded = [gap + row if pad_side == "left" else row + gap for gap, row in zip(gaps, expected, strict=True)]
    assert array.tolist() == padded
    assert (array != -7).tolist() == taken.tolist()


@given(ROWS, SIDES, st.integers(2, 8), st.integers(0, 7))
def test_windows_cover_every_id_and_overlap_by_the_stride(
    rows: list[list[int]], side: Any, limit: int, stride: int
) -> None:
    splits = ragged(rows)[1]
    whole = Rows.of(splits, 1)
    if stride >= limit - 1:
        with pytest.raises(ValueError, match="stride"):
            whole.windows(limit, side, stride)
        return
    found = whole.windows(limit, side, stride)
    assert found.lengths.max(initial=0) <= limit
    for sample, row in enumerate(rows):
        mine = np.flatnonzero(found.samples == sample)
        spans = [(int(found.starts[i] - splits[sample]), int(found.stops[i] - splits[sample])) for i in mine]
        covered = {at for start, stop in spans for at in range(start, stop)}
        assert covered == set(range(len(row)))
        ordered = spans if side == "right" else spans[::-1]
        for (_, stop), (start, _) in pairwise(ordered):
            assert stop - start == stride
        assert len(spans) == 1 or len(row) > limit - 1


@given(TEXTS, SIDES, st.sampled_from(["test", "finetuning"]), st.sampled_from(["v3", "v3-tekken"]), st.integers(2, 20))
def test_a_batch_is_its_rows_padded(texts: list[str], side: str, mode: str, name: str, limit: int) -> None:
    tokenizer = opened(name, mode)
    options: dict[str, Any] = {"truncation": True, "max_length": limit}
    batch = tokenizer(texts, padding=True, padding_side=side, return_tensors="np", **options)
    singles = [tokenizer(text, **options)["input_ids"] for text in texts]
    assert singles == tokenizer(texts, **options)["input_ids"]
    assert [row[mask == 1].tolist() for row, mask in zip(*batch.values(), strict=True)] == singles
    padded = tokenizer.pad({"input_ids": singles}, padding_side=side)
    assert padded["input_ids"] == batch["input_ids"].tolist()
    assert all(row[0] == tokenizer.bos_token_id for row in singles)
    assert all(row[-1] == tokenizer.eos_token_id for row in singles if mode == "finetuning")


@given(TEXTS, SIDES, st.sampled_from(["v3", "v3-tekken"]))
def test_offsets_lie_where_the_ids_lie(texts: list[str], side: str, name: str) -> None:
    tokenizer = opened(name, "test")
    batch = tokenizer(texts, padding=True, padding_side=side, return_offsets_mapping=True)
    for text, ids, offsets in zip(texts, batch["input_ids"], batch["offset_mapping"], strict=True):
        assert len(ids) == len(offsets)
        inner = [pair for pair in offsets if pair != (0, 0)]
        assert inner == sorted(inner)
        assert all(0 <= start <= end <= len(text) for start, end in offsets)
