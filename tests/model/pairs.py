"""The same random weights in this package's model and in Hugging Face transformers'."""

from __future__ import annotations

from typing import Any

import torch
from mistral_tok.model import MistralConfig, MistralForCausalLM, RollingCache, StaticCache
from mistral_tok.model.cache import Cache, GrowingCache
from torch import Tensor, nn

SMALL: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "sliding_window": None,
    "pad_token_id": 0,
    "initializer_range": 0.2,
}
"""Weights ten times as large as usual, so that logits are of order one and differences show."""

EXACT: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}
BFLOAT16: dict[str, Any] = {"rtol": 2e-2, "atol": 2e-2}


def pair(name: str = "MistralForCausalLM", **overrides: Any) -> tuple[Any, Any]:
    """Our model and theirs, both in evaluation mode."""
    import mistral_tok.model
    import transformers

    settings = {**SMALL, **overrides}
    theirs = getattr(transformers, name)(theirs_config(settings)).eval()
    ours = getattr(mistral_tok.model, name)(MistralConfig(**settings)).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def theirs_config(settings: dict[str, Any]) -> Any:
    """Transformers' configuration; its fifth version takes rope_theta inside of rope_parameters."""
    import transformers

    settings = dict(settings)
    theta = settings.pop("rope_theta", 10000.0)
    if int(transformers.__version__.split(".")[0]) >= 5:
        settings["rope_parameters"] = {"rope_type": "default", "rope_theta": theta}
    else:
        settings["rope_theta"] = theta
    return transformers.MistralConfig(**settings, attn_implementation="eager")


def small(**overrides: Any) -> MistralForCausalLM:
    """A random model by itself, which no token stops unless a test says so."""
    return MistralForCausalLM(MistralConfig(**{**SMALL, "eos_token_id": None, **overrides})).eval()


def random_ids(rows: int, length: int, vocabulary: int = 61) -> Tensor:
    """Ids without 0, which is padding."""
    return torch.randint(1, vocabulary, (rows, length))


def padded(lengths: list[int], side: str) -> tuple[Tensor, Tensor]:
    """Random ids and their mask, for rows of these lengths padded on a side."""
    width = max(lengths)
    mask = torch.zeros(len(lengths), width, dtype=torch.long)
    for row, length in enumerate(lengths):
        mask[row, slice(None, length) if side == "right" else slice(width - length, None)] = 1
    return random_ids(len(lengths), width) * mask, mask


def caches(model: nn.Module, room: int) -> list[Cache]:
    """One cache of every kind that the model can have."""
    config: MistralConfig = model.config  # type: ignore[assignment]
    found: list[Cache] = [GrowingCache(config), StaticCache(config, room)]
    if config.sliding_window is not None:
        found += [RollingCache(config), RollingCache(config, slack=3)]
    return found


def in_chunks(model: nn.Module, ids: Tensor, sizes: list[int], cache: Cache, mask: Tensor | None = None) -> Tensor:
    """Logits of a text that is fed piece by piece."""
    outputs, at = [], 0
    for size in sizes:
        seen = None if mask is None else mask[:, : at + size]
        out = model(ids[:, at : at + size], attention_mask=seen, past_key_values=cache)
        outputs.append(out.logits)
        at += size
    return torch.cat(outputs, dim=1)
