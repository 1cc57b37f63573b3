"""Every cache gives the logits that the model gives without one."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mistral_tok.model import CacheError, GrowingCache, RollingCache, StaticCache

from .pairs import EXACT, caches, in_chunks, padded, random_ids, small

LENGTH = 21
CHUNKS = {
    "one by one": [1] * LENGTH,
    "threes": [3] * 7,
    "all": [LENGTH],
    "prompt, then one by one": [9] + [1] * 12,
    "across the edge": [4, 3, 1, 6, 7],
}
WINDOWS = {"no window": None, "window of 1": 1, "short window": 5, "long window": 100}


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("sizes", CHUNKS.values(), ids=CHUNKS)
@pytest.mark.parametrize("backend", ["sdpa", "eager"])
@torch.no_grad()
def test_chunks(sizes: list[int], window: int | None, backend: str) -> None:
    model = small(sliding_window=window)
    model.set_attention(backend)
    ids = random_ids(2, LENGTH)
    expected = model(ids, use_cache=False).logits
    for cache in caches(model, LENGTH):
        torch.testing.assert_close(in_chunks(model, ids, sizes, cache), expected, **EXACT)
        assert cache.get_seq_length() == LENGTH
        cache.reset()
        torch.testing.assert_close(in_chunks(model, ids, sizes, cache), expected, **EXACT)


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("sizes", CHUNKS.values(), ids=CHUNKS)
@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_chunks_of_padded_rows(sizes: list[int], window: int | None, side: str) -> None:
    model = small(sliding_window=window)
    ids, mask = padded([LENGTH, 6, 13], side)
    real = mask.bool()
    expected = model(ids, attention_mask=mask, use_cache=False).logits[real]
    for cache in caches(model, LENGTH):
        logits = in_chunks(model, ids, sizes, cache, mask)
        torch.testing.assert_close(logits[real], expected, **EXACT)
        assert torch.isfinite(logits).all()


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_decoding_after_a_padded_prompt_is_decoding_alone(side: str, window: int | None) -> None:
    """Positions and windows count a row's own tokens: padding between prompt and answer takes no place."""
    model = small(sliding_window=window)
    ids, mask = padded([3, 9, 7], side)
    answer = random_ids(3, 8)
    grown = torch.cat((mask, torch.ones(3, 8, dtype=torch.long)), dim=1)
    for cache in caches(model, 17):
        model(ids, attention_mask=mask, past_key_values=cache)
        steps = [
            model(answer[:, i : i + 1], attention_mask=grown[:, : 10 + i], past_key_values=cache).logits
            for i in range(8)
        ]
        logits = torch.cat(steps, dim=1)
        for row in range(3):
            alone = torch.cat((ids[row][mask[row].bool()], answer[row]))[None]
            torch.testing.assert_close(logits[row], model(alone, use_cache=False).logits[0, -8:], **EXACT)


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("side", [None, "left", "right"])
@torch.no_grad()
def test_cropping(side: str | None, window: int | None) -> None:
    model = small(sliding_window=window)
    ids, mask = padded([16, 16] if side is None else [16, 9], side or "left")
    real = mask.bool()
    expected = model(ids, attention_mask=mask, use_cache=False).logits[real]
    for cache in caches(model, 40):
        slack = cache.capacity - cache.window if isinstance(cache, RollingCache) else 16
        for back in (1, 3, 10):
            cache.reset()
            in_chunks(model, ids[:, :13], [6, 1, 6], cache, mask[:, :13])
            if back > slack and cache.window < 13:
                with pytest.raises(CacheError, match="slack"):
                    cache.crop(-back)
                continue
            wrong = torch.cat((mask[:, :13], torch.ones(2, 2, dtype=torch.long)), dim=1)
            if back == 3 and slack != 0:  # two tokens too many, taken back with one more
                model(random_ids(2, 2), attention_mask=wrong, past_key_values=cache)
                cache.crop(12)
                back = 1
            else:
                cache.crop(-back)
            assert cache.get_seq_length() == 13 - back
            rest = model(ids[:, 13 - back :], attention_mask=mask, past_key_values=cache).logits
            whole = torch.zeros(2, 16, 61)
            whole[real] = expected
            kept = real[:, 13 - back :]
            torch.testing.assert_close(rest[kept], whole[:, 13 - back :][kept], **EXACT)


@torch.no_grad()
def test_cropping_to_nothing_and_beyond_the_end() -> None:
    model = small(sliding_window=4)
    ids = random_ids(1, 3)
    for cache in caches(model, 8):
        model(ids, past_key_values=cache)
        cache.crop(99)
        assert cache.get_seq_length() == 3
        cache.crop(0)
        assert cache.get_seq_length() == 0
        torch.testing.assert_close(model(ids, past_key_values=cache).logits, model(ids).logits, **EXACT)


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("side", [None, "left", "right"])
@torch.no_grad()
def test_reordering_rows(side: str | None, window: int | None) -> None:
    model = small(sliding_window=window)
    ids, mask = padded([12, 12, 12] if side is None else [12, 5, 8], side or "left")
    rows = torch.tensor([2, 2, 0, 1])
    for cache in caches(model, 20):
        in_chunks(model, ids, [5, 1, 6], cache, mask)
        cache.reorder_cache(rows)
        more = random_ids(4, 3)
        seen = torch.cat((mask[rows], torch.ones(4, 3, dtype=torch.long)), dim=1)
        logits = torch.cat(
            [
                model(more[:, i : i + 1], attention_mask=seen[:, : 13 + i], past_key_values=cache).logits
                for i in range(3)
            ],
            dim=1,
        )
        for i, row in enumerate(rows.tolist()):
            alone = torch.cat((ids[row][mask[row].bool()], more[i]))[None]
            torch.testing.assert_close(logits[i], model(alone, use_cache=False).logits[0, -3:], **EXACT)


@given(
    lengths=st.lists(st.integers(1, 18), min_size=1, max_size=3),
    left=st.booleans(),
    window=st.none() | st.integers(1, 20),
    cuts=st.sets(st.integers(1, 17)),
    shape=st.sampled_from([{}, {"num_key_value_heads": 4}, {"num_key_value_heads": 1, "head_dim": 6}]),
)
@settings(max_examples=30)
@torch.no_grad()
def test_any_chunks(lengths: list[int], left: bool, window: int | None, cuts: set[int], shape: dict[str, Any]) -> None:
    model = small(sliding_window=window, **shape)
    ids, mask = padded(lengths, "left" if left else "right")
    width = ids.shape[1]
    edges = [0, *sorted(cut for cut in cuts if cut < width), width]
    sizes = [b - a for a, b in pairwise(edges)]
    real = mask.bool()
    expected = model(ids, attention_mask=mask, use_cache=False).logits[real]
    for cache in caches(model, width):
        torch.testing.assert_close(in_chunks(model, ids, sizes, cache, mask)[real], expected, **EXACT)


@torch.no_grad()
def test_rolling_memory_is_bounded() -> None:
    model = small(sliding_window=4)
    cache = RollingCache(model.config)
    sizes = set()
    for _ in range(30):
        model(random_ids(1, 1), past_key_values=cache)
        sizes.add(sum(t.numel() for t in (*cache._keys, *cache._values)))
    assert len(sizes) == 1


@torch.no_grad()
def test_static_buffers_never_move() -> None:
    model = small()
    cache = StaticCache(model.config, 20)
    model(random_ids(2, 5), past_key_values=cache)
    places = [k.data_ptr() for k in cache._keys]
    in_chunks(model, random_ids(2, 15), [1] * 15, cache)
    assert places == [k.data_ptr() for k in cache._keys]
    with pytest.raises(CacheError, match="21 tokens"):
        model(random_ids(2, 1), past_key_values=cache)


@torch.no_grad()
def test_static_cache_by_cache_position() -> None:
    model = small(sliding_window=6)
    ids, mask = padded([12, 7], "left")
    cache = StaticCache(model.config, 16)
    first = model(ids[:, :5], attention_mask=mask[:, :5], past_key_values=cache, cache_position=torch.arange(5))
    logits = [first.logits]
    for i in range(5, 12):
        slot = torch.tensor([i])
        out = model(ids[:, i : i + 1], attention_mask=mask[:, : i + 1], past_key_values=cache, cache_position=slot)
        logits.append(out.logits)
    expected = model(ids, attention_mask=mask, use_cache=False).logits
    torch.testing.assert_close(torch.cat(logits, 1)[mask.bool()], expected[mask.bool()], **EXACT)
    with pytest.raises(CacheError, match="begins at 3"):
        model(ids[:, :1], past_key_values=cache, cache_position=torch.tensor([3]))


def test_gradients_flow_through_a_growing_cache() -> None:
    model = small(sliding_window=5)
    ids = random_ids(2, 12)
    model(ids, use_cache=False).logits.square().mean().backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    in_chunks(model, ids, [4, 3, 5], GrowingCache(model.config)).square().mean().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], **EXACT)


def test_what_caches_refuse() -> None:
    model = small()
    with pytest.raises(CacheError, match="sliding_window"):
        RollingCache(model.config)
    with pytest.raises(CacheError, match="max_length"):
        StaticCache(model.config, 0)
    with pytest.raises(CacheError, match="slack"):
        RollingCache(small(sliding_window=3).config, slack=-1)
    cache = GrowingCache(model.config)
    model(random_ids(2, 3), past_key_values=cache)
    with pytest.raises(CacheError, match="2 rows"):
        model(random_ids(3, 1), past_key_values=cache)
    with pytest.raises(CacheError, match="document_ids"):
        model(random_ids(2, 2), past_key_values=cache, document_ids=torch.zeros(2, 2))
