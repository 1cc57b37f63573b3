"""Logits, hidden states, losses and gradients equal those of Hugging Face transformers on the same weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .pairs import BFLOAT16, EXACT, padded, pair, random_ids

pytest.importorskip("transformers", minversion="4.56")

SHAPES = {
    "MHA": {"num_key_value_heads": 4},
    "GQA": {"num_key_value_heads": 2},
    "MQA": {"num_key_value_heads": 1},
    "wide heads": {"head_dim": 20},
    "tied": {"tie_word_embeddings": True},
    "theta": {"rope_theta": 1e6},
    "eps": {"rms_norm_eps": 1e-2},
    "gelu": {"hidden_act": "gelu"},
}
WINDOWS = {"no window": None, "short window": 5, "long window": 100}


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_logits_states_and_loss(shape: dict[str, Any], window: int | None) -> None:
    ours, theirs = pair(**shape, sliding_window=window)
    ids = random_ids(2, 17)
    a = ours(ids, labels=ids, output_hidden_states=True)
    b = theirs(ids, labels=ids, output_hidden_states=True)
    torch.testing.assert_close(a.logits, b.logits, **EXACT)
    torch.testing.assert_close(a.loss, b.loss, **EXACT)
    assert len(a.hidden_states) == len(b.hidden_states) == 3
    for x, y in zip(a.hidden_states, b.hidden_states, strict=True):
        torch.testing.assert_close(x, y, **EXACT)


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("backend", ["sdpa", "eager"])
@torch.no_grad()
def test_padding(side: str, backend: str, window: int | None) -> None:
    ours, theirs = pair(sliding_window=window)
    ours.set_attention(backend)
    ids, mask = padded([11, 4, 17], side)
    real = mask.bool()
    logits = ours(ids, attention_mask=mask).logits
    torch.testing.assert_close(logits[real], theirs(ids, attention_mask=mask).logits[real], **EXACT)
    assert torch.isfinite(logits).all()
    for row, keep in zip(range(3), real, strict=True):
        torch.testing.assert_close(logits[row][keep], ours(ids[row][keep][None]).logits[0], **EXACT)


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@torch.no_grad()
def test_attention_weights(window: int | None) -> None:
    ours, theirs = pair(sliding_window=window)
    ids = random_ids(2, 9)
    a, b = ours(ids, output_attentions=True), theirs(ids, output_attentions=True)
    for x, y in zip(a.attentions, b.attentions, strict=True):
        torch.testing.assert_close(x, y, **EXACT)
    torch.testing.assert_close(a.logits, ours(ids).logits, **EXACT)


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("prepacked", [False, True])
@torch.no_grad()
def test_bfloat16(window: int | None, prepacked: bool) -> None:
    import transformers

    ours, theirs = pair(sliding_window=window, initializer_range=0.08)
    kind = type(theirs)
    torch.set_default_dtype(torch.bfloat16)
    try:  # not `.to`, which would round transformers' rotary frequencies as well
        half = kind(theirs.config).eval()
    finally:
        torch.set_default_dtype(torch.float32)
    half.load_state_dict(theirs.state_dict())
    assert isinstance(half, transformers.PreTrainedModel)
    ours = ours.to(torch.bfloat16)
    if prepacked:
        ours.prepack()
    ids = random_ids(2, 33)
    torch.testing.assert_close(ours(ids).logits.float(), half(ids).logits.float(), **BFLOAT16)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_gradients(shape: dict[str, Any]) -> None:
    ours, theirs = pair(**shape, sliding_window=5)
    ids, mask = padded([12, 7], "right")
    labels = ids.masked_fill(mask == 0, -100)
    for model in (ours, theirs):
        model.train()
        model(ids, attention_mask=mask, labels=labels).loss.backward()
    mine = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(mine[name].grad, parameter.grad, **EXACT)


@torch.no_grad()
def test_embeddings_positions_and_kept_logits() -> None:
    ours, theirs = pair(sliding_window=6)
    ids = random_ids(2, 9)
    embeds = theirs.get_input_embeddings()(ids)
    reference = theirs(ids).logits
    torch.testing.assert_close(ours(inputs_embeds=embeds).logits, reference, **EXACT)
    torch.testing.assert_close(ours(ids, logits_to_keep=1).logits, reference[:, -1:], **EXACT)
    kept = torch.tensor([0, 4, 5])
    torch.testing.assert_close(ours(ids, logits_to_keep=kept).logits, reference[:, kept], **EXACT)
    positions = torch.arange(100, 109)[None]
    expected = theirs(ids, position_ids=positions).logits
    torch.testing.assert_close(ours(ids, position_ids=positions).logits, expected, **EXACT)


@pytest.mark.parametrize("boolean", [True, False])
@torch.no_grad()
def test_four_dimensional_mask(boolean: bool) -> None:
    ours, theirs = pair()
    ids = random_ids(2, 6)
    sees = torch.ones(6, 6).tril().bool()
    sees[4, 1] = False
    added = torch.zeros(6, 6).masked_fill(~sees, torch.finfo(torch.float32).min)[None, None].expand(2, 1, 6, 6)
    expected = theirs(ids, attention_mask=added).logits
    given_mask = sees[None, None].expand(2, 1, 6, 6) if boolean else added
    for backend in ("sdpa", "eager"):
        ours.set_attention(backend)
        torch.testing.assert_close(ours(ids, attention_mask=given_mask).logits, expected, **EXACT)


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Any small configuration that transformers accepts too."""
    groups = draw(st.integers(1, 3))
    kv_heads = draw(st.integers(1, 3))
    heads = groups * kv_heads
    return {
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": 2 * draw(st.integers(1, 9)),
        "hidden_size": draw(st.integers(1, 6)) * 8,
        "intermediate_size": draw(st.integers(1, 40)),
        "num_hidden_layers": draw(st.integers(1, 3)),
        "vocab_size": draw(st.integers(2, 80)),
        "sliding_window": draw(st.none() | st.integers(1, 20)),
        "rope_theta": draw(st.sampled_from([100.0, 10000.0, 1e6])),
        "tie_word_embeddings": draw(st.booleans()),
    }


@given(configurations(), st.integers(1, 24), st.integers(1, 3), st.sampled_from(["left", "right"]), st.randoms())
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@torch.no_grad()
def test_any_configuration(shape: dict[str, Any], length: int, rows: int, side: str, random: Any) -> None:
    ours, theirs = pair(**shape)
    lengths = [length, *(random.randint(1, length) for _ in range(rows - 1))]
    ids, mask = padded(lengths, side)
    ids = ids % shape["vocab_size"]
    real = mask.bool()
    a, b = ours(ids, attention_mask=mask).logits, theirs(ids, attention_mask=mask).logits
    torch.testing.assert_close(a[real], b[real], rtol=1e-4, atol=2e-5)
