"""What training needs beyond gradients: checkpointing, dropout, compilation, joined weights that stay parameters."""

from __future__ import annotations

import copy
import io
import shutil
import warnings
from typing import Any

import pytest
import torch
from mistral_tok.model import MistralForCausalLM, ModelError, StaticCache

from .pairs import EXACT, pair, random_ids, small

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")


def gradients(model: MistralForCausalLM, ids: torch.Tensor) -> dict[str, Any]:
    model.zero_grad()
    model(ids, labels=ids).loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_gradient_checkpointing_changes_nothing() -> None:
    model = small(sliding_window=4).train()
    ids = random_ids(2, 9)
    expected = gradients(model, ids)
    model.gradient_checkpointing_enable()
    runs = []
    for block in model.model.layers:
        block.register_forward_pre_hook(lambda *_: runs.append(1))
    found = gradients(model, ids)
    assert len(runs) == 2 * len(model.model.layers)  # each layer ran again for its gradient
    for name, grad in expected.items():
        torch.testing.assert_close(found[name], grad, **EXACT)
    model.gradient_checkpointing_disable()
    runs.clear()
    gradients(model, ids)
    assert len(runs) == len(model.model.layers)


@pytest.mark.parametrize("backend", ["sdpa", "eager"])
def test_attention_dropout_only_in_training(backend: str) -> None:
    model = small(attention_dropout=0.5)
    model.set_attention(backend)
    ids = random_ids(2, 9)
    still = model(ids).logits
    torch.testing.assert_close(model(ids).logits, still)
    model.train()
    assert not torch.equal(model(ids).logits, model(ids).logits)
    model.set_attention("flex")
    with pytest.raises(ModelError, match="dropout"):
        model(ids)


def test_optimizer_steps_equal_transformers() -> None:
    ours, theirs = pair()
    ids = random_ids(2, 9)
    for model in (ours.train(), theirs.train()):
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for _ in range(3):
            optimizer.zero_grad()
            model(ids, labels=ids).loss.backward()
            optimizer.step()
    with torch.no_grad():  # inference reads the joined weights, which the optimizer has changed in place
        torch.testing.assert_close(ours.eval()(ids).logits, theirs.eval()(ids).logits, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_joined_weights_are_used_and_given_up_when_touched() -> None:
    model = small()
    ids = random_ids(1, 5)
    expected = model(ids).logits
    calls = []
    attention = model.model.layers[0].self_attn
    assert attention._intact([attention.q_proj, attention.k_proj, attention.v_proj])
    handle = attention.q_proj.register_forward_hook(lambda *_: calls.append(1))
    torch.testing.assert_close(model(ids).logits, expected, **EXACT)
    assert calls == [1]
    handle.remove()
    model(ids)
    assert calls == [1]
    wrapped = torch.nn.Sequential(attention.q_proj)  # as adapters do
    attention.q_proj = wrapped
    torch.testing.assert_close(model(ids).logits, expected, **EXACT)
    attention.q_proj = wrapped[0]
    attention.q_proj.weight.data = attention.q_proj.weight.data * 2  # new memory
    assert not torch.allclose(model(ids).logits, expected)


@torch.no_grad()
def test_copies_pickles_and_moves() -> None:
    model = small()
    ids = random_ids(1, 5)
    expected = model(ids).logits
    twin = copy.deepcopy(model)
    for parameter in model.parameters():
        parameter.zero_()
    torch.testing.assert_close(twin(ids).logits, expected, **EXACT)
    file = io.BytesIO()
    torch.save(twin, file)
    file.seek(0)
    torch.testing.assert_close(torch.load(file, weights_only=False)(ids).logits, expected, **EXACT)
    torch.testing.assert_close(twin.double().float()(ids).logits, expected, **EXACT)
    assert twin.bfloat16().dtype == torch.bfloat16


@torch.no_grad()
def test_moves_that_change_nothing_copy_nothing() -> None:
    model = small()
    ids = random_ids(1, 5)
    expected = model(ids).logits
    places = [p.data_ptr() for p in model.parameters()]
    assert [p.data_ptr() for p in model.to("cpu", torch.float32).parameters()] == places
    model.share_memory()
    assert all(p.is_shared() for p in model.parameters())
    torch.testing.assert_close(model(ids).logits, expected, **EXACT)
    assert all(block.mlp._joined.is_shared() for block in model.model.layers)


def test_parameter_names_are_transformers() -> None:
    ours, theirs = pair(tie_word_embeddings=True)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert ours.lm_head.weight is ours.model.embed_tokens.weight
    assert ours.to(torch.bfloat16).lm_head.weight is ours.model.embed_tokens.weight


@needs_compiler
def test_compiles_without_graph_breaks() -> None:
    """The traced graph is run uncompiled: what is proved is that there is one graph and that it is right."""
    model = small(sliding_window=4)
    ids = random_ids(2, 9)
    labels = ids.clone()
    expected = model(ids, labels=labels).loss
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's own
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        out = compiled(ids, labels=labels, use_cache=False)
        torch.testing.assert_close(out.loss, expected, **EXACT)
        out.loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    for name, grad in gradients(model, ids).items():
        torch.testing.assert_close(found[name], grad, **EXACT)


@needs_compiler
@torch.no_grad()
def test_compiled_decoding_compiles_once() -> None:
    model = small(sliding_window=4)
    ids = random_ids(2, 12)
    cache = StaticCache(model.config, 16)
    model(ids[:, :5], past_key_values=cache)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch._dynamo.reset()
        graphs = torch._dynamo.testing.CompileCounterWithBackend("eager")
        step = torch.compile(model, fullgraph=True, backend=graphs)
        logits = [
            step(ids[:, i : i + 1], past_key_values=cache, cache_position=torch.tensor([i])).logits
            for i in range(5, 12)
        ]
    assert graphs.frame_count <= 2  # the number of tokens seen becomes a symbol after the first step
    torch.testing.assert_close(torch.cat(logits, dim=1), model(ids, use_cache=False).logits[:, 5:], **EXACT)
