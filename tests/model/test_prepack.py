"""Prepacked weights: the same numbers in another order, and a model that otherwise behaves as before."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from mistral_tok.model import (
    GrowingCache,
    MistralForCausalLM,
    MistralForSequenceClassification,
    ModelError,
    StaticCache,
)
from mistral_tok.model import prepack as prepacking
from torch import Tensor

from .files import tiny_config
from .pairs import pair, random_ids

IDS = torch.arange(1, 20)[None] % 41
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
mkldnn = pytest.mark.skipif(not prepacking.prepackable(torch.zeros(1)), reason="PyTorch without oneDNN")
pytestmark = mkldnn


def made(**changes: Any) -> MistralForCausalLM:
    torch.manual_seed(0)
    return MistralForCausalLM(tiny_config(**changes)).eval()


@torch.inference_mode()
def logits(model: MistralForCausalLM, ids: Tensor = IDS) -> Tensor:
    return model(ids).logits  # type: ignore[no-any-return]


@pytest.mark.parametrize("tied", [False, True])
def test_numbers_and_state_are_the_same(tied: bool) -> None:
    model = made(tie_word_embeddings=tied)
    expected, state = logits(model), {name: t.clone() for name, t in model.state_dict().items()}
    assert model.prepack() is model
    assert model.lm_head.prepacked and model.model.layers[0].mlp.down_proj.prepacked
    torch.testing.assert_close(logits(model), expected, **CLOSE)
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())
    assert (model.lm_head.weight is model.model.embed_tokens.weight) is tied


@torch.inference_mode()
def test_against_transformers() -> None:
    ours, theirs = pair()
    ours.prepack()
    for ids in (random_ids(1, 1), random_ids(1, 9), random_ids(3, 5)):
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, **CLOSE)


@torch.inference_mode()
def test_with_caches_and_rows() -> None:
    model = made()
    ids = random_ids(3, 12) % 41
    expected = logits(model, ids)
    model.prepack()
    for cache in (GrowingCache(model.config), StaticCache(model.config, 12)):
        parts = [model(ids[:, a:b], past_key_values=cache).logits for a, b in ((0, 7), (7, 8), (8, 12))]
        torch.testing.assert_close(torch.cat(parts, 1), expected, **CLOSE)


def test_the_plain_numbers_take_no_memory_meanwhile() -> None:
    model = made().prepack()
    maps = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    assert all(m.weight.untyped_storage().nbytes() <= 4 for m in maps)
    assert all(m.weight.isnan().all() and m.weight.shape == (m.out_features, m.in_features) for m in maps)


def test_training_restores_the_same_parameters() -> None:
    model = made()
    parameters, values = list(model.parameters()), [p.detach().clone() for p in model.parameters()]
    expected = logits(model)
    with torch.inference_mode():
        model.prepack().restore().prepack()
    with pytest.raises(ModelError, match=r"no gradients; use torch\.inference_mode\(\), or call restore\(\)"):
        model(IDS)
    model.train()
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), values, strict=True))
    model(IDS, labels=IDS).loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    assert model.model.layers[0].mlp._joined is not None
    torch.testing.assert_close(logits(model.eval()), expected, **CLOSE)


def test_saved_copied_pickled_and_moved(tmp_path: Path) -> None:
    model = made()
    expected = logits(model)
    model.prepack()
    model.save_pretrained(tmp_path)
    opened = MistralForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(logits(opened), expected, **CLOSE)
    twin = copy.deepcopy(model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in (twin, torch.load(file, weights_only=False)):
        assert not other.lm_head.prepacked
        torch.testing.assert_close(logits(other), expected, **CLOSE)
    assert model.lm_head.prepacked
    moved = model.double()
    assert not moved.lm_head.prepacked
    torch.testing.assert_close(logits(moved.float()), expected, **CLOSE)


def test_loading_into_it() -> None:
    model, other = made().prepack(), made(initializer_range=0.1)
    model.load_state_dict(other.state_dict())
    assert not any(getattr(m, "prepacked", False) for m in model.modules())
    torch.testing.assert_close(logits(model), logits(other), **CLOSE)
    torch.testing.assert_close(logits(model.prepack().prepack()), logits(other), **CLOSE)


def test_hooked_and_replaced_maps() -> None:
    model = made()
    expected = logits(model)
    attention, mlp = model.model.layers[0].self_attn, model.model.layers[1].mlp
    calls: list[int] = []
    mlp.up_proj.register_forward_hook(lambda *_: calls.append(1))
    model.prepack()  # the hooked map is prepacked alone, and the others together
    attention.k_proj.register_forward_hook(lambda *_: calls.append(2))
    torch.testing.assert_close(logits(model), expected, **CLOSE)
    assert calls == [2, 1]
    attention.q_proj = torch.nn.Sequential(attention.q_proj)
    torch.testing.assert_close(logits(model), expected, **CLOSE)
    assert calls == [2, 1, 2, 1]
    torch.testing.assert_close(logits(model.restore()), expected, **CLOSE)


def test_a_weight_that_is_put_in_its_place_counts() -> None:
    model, other = made().prepack(), made(initializer_range=0.1)
    with torch.no_grad():
        for mine, new in zip(model.parameters(), other.parameters(), strict=True):
            mine.data = new.detach().clone()
    assert not model.lm_head.prepacked
    torch.testing.assert_close(logits(model), logits(other), **CLOSE)
    assert torch.equal(model.state_dict()["lm_head.weight"], other.lm_head.weight)
    torch.testing.assert_close(logits(model.restore()), logits(other), **CLOSE)
    model.prepack()
    with torch.no_grad(), pytest.raises(RuntimeError, match="single memory location"):
        model.lm_head.weight.copy_(other.lm_head.weight)


def test_other_heads_and_where_there_is_nothing_to_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    head = MistralForSequenceClassification(tiny_config(pad_token_id=0)).eval()
    with torch.inference_mode():
        expected = head(IDS).logits
        torch.testing.assert_close(head.prepack()(IDS).logits, expected, **CLOSE)
    assert not made().double().prepack().lm_head.prepacked
    monkeypatch.setattr("mistral_tok.model.layers.prepackable", lambda weight: False)
    model = made().prepack()
    assert not model.lm_head.prepacked and model.model.layers[0].mlp._joined is not None
