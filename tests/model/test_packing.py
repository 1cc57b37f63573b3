"""Sequences packed into one row give the logits that each gives alone."""

from __future__ import annotations

import pytest
import torch
from mistral_tok.model import MistralForCausalLM
from torch import Tensor

from .pairs import EXACT, caches, pair, random_ids, small

LENGTHS = [5, 1, 9, 3]
WINDOWS = {"no window": None, "short window": 4, "long window": 100}


def packed() -> tuple[Tensor, Tensor, Tensor]:
    """Ids, positions and documents of one row of several texts."""
    positions = torch.cat([torch.arange(n) for n in LENGTHS])[None]
    documents = torch.cat([torch.full((n,), 10 - i) for i, n in enumerate(LENGTHS)])[None]
    return random_ids(1, sum(LENGTHS)), positions, documents


def alone(model: MistralForCausalLM, ids: Tensor) -> Tensor:
    """The texts one at a time."""
    return torch.cat([model(part, use_cache=False).logits for part in ids.split(LENGTHS, dim=1)], dim=1)


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("backend", ["sdpa", "eager"])
@torch.no_grad()
def test_positions_or_documents_keep_texts_apart(window: int | None, backend: str) -> None:
    model = small(sliding_window=window)
    model.set_attention(backend)
    ids, positions, documents = packed()
    expected = alone(model, ids)
    torch.testing.assert_close(model(ids, position_ids=positions).logits, expected, **EXACT)
    torch.testing.assert_close(model(ids, document_ids=documents).logits, expected, **EXACT)
    with pytest.raises(AssertionError):  # the texts do see each other if nothing tells them apart
        torch.testing.assert_close(model(ids).logits, expected, **EXACT)


@torch.no_grad()
def test_equals_transformers() -> None:
    ours, theirs = pair(sliding_window=6)
    ids, positions, _ = packed()
    expected = theirs(ids, position_ids=positions, use_cache=False).logits
    torch.testing.assert_close(ours(ids, position_ids=positions).logits, expected, **EXACT)


@torch.no_grad()
def test_several_rows_and_padding_at_the_end() -> None:
    model = small(sliding_window=4)
    ids, _, documents = packed()
    rows = torch.cat((ids, ids.flip(1)))
    row_documents = torch.cat((documents, documents.flip(1)))
    mask = torch.ones_like(rows)
    mask[1, -LENGTHS[0] :] = 0
    logits = model(rows, attention_mask=mask, document_ids=row_documents).logits
    torch.testing.assert_close(logits[0], alone(model, ids)[0], **EXACT)
    parts = rows[1:].split(LENGTHS[::-1], dim=1)[:-1]
    expected = torch.cat([model(part).logits for part in parts], dim=1)
    torch.testing.assert_close(logits[1:, : expected.shape[1]], expected, **EXACT)


@torch.no_grad()
def test_a_cache_continues_the_last_text_only() -> None:
    model = small(sliding_window=4)
    ids, _, documents = packed()
    more = random_ids(1, 6)
    expected = model(torch.cat((ids[:, -LENGTHS[-1] :], more), dim=1)).logits[:, -6:]
    for cache in caches(model, 30):
        model(ids, document_ids=documents, past_key_values=cache)
        steps = [model(more[:, i : i + 1], past_key_values=cache).logits for i in range(6)]
        torch.testing.assert_close(torch.cat(steps, dim=1), expected, **EXACT)
