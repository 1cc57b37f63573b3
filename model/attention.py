"""Grouped-query attention, and the three ways to compute it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from .errors import ConfigError, ModelError
from .layers import Joined, Linear
from .masking import Layout, allowed
from .rope import rotate

if TYPE_CHECKING:
    from .config import MistralConfig

BACKENDS = ("sdpa", "flex", "eager")


class KeyValueStore(Protocol):
    """What attention needs of a cache."""

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Remember new (batch, heads, length, head_dim) tensors and return all that the queries may see."""


@dataclass
class Context:
    """What all layers of one forward pass share."""

    rotation: tuple[Tensor, Tensor]
    mask: Any
    causal: bool
    backend: str
    cache: KeyValueStore | None = None


def check_backend(name: str) -> str:
    """Return `name`; raises ConfigError for an unknown backend."""
    if name not in BACKENDS:
        raise ConfigError(f"attention backend {name!r} is unknown; choose one of {', '.join(BACKENDS)}.")
    return name


def prepare_mask(layout: Layout, backend: str, dtype: torch.dtype) -> Any:
    """What the backend needs to know about visibility, once for all layers; None where no mask is needed."""
    if backend == "flex":
        return _block_mask(layout)
    if layout.free or (layout.causal and backend == "sdpa"):
        return None
    mask = layout.allowed()
    return _additive(mask, dtype) if backend == "eager" else mask


def explicit_mask(mask: Tensor, layout: Layout, backend: str, dtype: torch.dtype) -> Tensor:
    """A mask (batch, 1, queries, keys) that the caller made, for the keys that the layout has."""
    length = layout.keys.shape[1]
    if backend == "flex" or mask.shape[2] != layout.queries.shape[1] or mask.shape[3] < length:
        raise ModelError(
            f"a mask of shape {tuple(mask.shape)} does not fit {layout.queries.shape[1]} queries and {length} keys, "
            f"or the backend {backend!r}; give a (batch, tokens) mask."
        )
    mask = mask[..., mask.shape[3] - length :]
    if mask.dtype == torch.bool:
        return _additive(mask, dtype) if backend == "eager" else mask
    return mask.to(dtype)


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)


def sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, dropout: float) -> tuple[Tensor, None]:
    """PyTorch's fused attention; picks the flash, memory-efficient or plain kernel."""
    batch, heads, length, size = q.shape
    kv_heads = k.shape[1]
    if length == 1 and heads != kv_heads:
        # One query per row: its heads take the place of queries, so no key is repeated.
        grouped = q.view(batch, kv_heads, heads // kv_heads, size)
        out = functional.scaled_dot_product_attention(grouped, k, v, mask, dropout)
        return out.reshape(batch, heads, 1, size), None
    out = functional.scaled_dot_product_attention(
        q, k, v, mask, dropout, is_causal=causal and mask is None and length > 1, enable_gqa=heads != kv_heads
    )
    return out, None


def eager(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, dropout: float) -> tuple[Tensor, Tensor]:
    """The formula step by step, softmax in float32; returns the weights (batch, heads, queries, keys) too."""
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
    if mask is not None:
        scores = scores + mask
    weights = functional.dropout(scores.softmax(-1, dtype=torch.float32).to(q.dtype), dropout)
    return weights @ v, weights


def flex(q: Tensor, k: Tensor, v: Tensor, mask: Any, causal: bool, dropout: float) -> tuple[Tensor, None]:
    """FlexAttention: blocks that nobody sees are never computed."""
    if dropout:
        raise ModelError(f"backend 'flex' has no dropout (attention_dropout is {dropout}); choose 'sdpa'.")
    if q.device.type == "cpu" and torch.is_grad_enabled() and (q.requires_grad or k.requires_grad):
        raise ModelError("backend 'flex' computes no gradients on the CPU; choose 'sdpa', or move the model to a GPU.")
    from torch._dynamo.exc import TorchDynamoException
    from torch.nn.attention.flex_attention import flex_attention

    kernel: Any = flex_attention
    if not torch.compiler.is_compiling():
        kernel = _compiled(kernel)
    try:
        return kernel(q, k, v, block_mask=mask, enable_gqa=q.shape[1] != k.shape[1]), None
    except (TorchDynamoException, NotImplementedError) as error:
        raise ModelError(f"backend 'flex' cannot be compiled on this machine ({error}); choose 'sdpa'.") from error


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function)


def _block_mask(layout: Layout) -> Any:
    """A BlockMask for `flex`; on a GPU it is found by a compiled kernel that never holds the full mask."""
    from torch.nn.attention.flex_attention import create_block_mask

    queries, keys, window = layout.queries, layout.keys, layout.window

    def visible(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return allowed(queries[b, i], keys[b, j], window)

    make: Any = create_block_mask
    create = _compiled(make) if queries.is_cuda else make
    batch = len(queries) if len(queries) > 1 else None
    return create(visible, batch, None, queries.shape[1], keys.shape[1], device=queries.device)


COMPUTE: dict[str, Callable[..., tuple[Tensor, Tensor | None]]] = {"sdpa": sdpa, "flex": flex, "eager": eager}


class Attention(Joined):
    """Self-attention of one block: projections, rotation, cache, attention, output projection."""

    def __init__(self, config: MistralConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_dim = config.head_dim
        self.kv_heads = config.num_key_value_heads
        self.dropout = config.attention_dropout
        queries, keys = config.num_attention_heads * self.head_dim, config.num_key_value_heads * self.head_dim
        self.q_proj = Linear(config.hidden_size, queries)
        self.k_proj = Linear(config.hidden_size, keys)
        self.v_proj = Linear(config.hidden_size, keys)
        self.o_proj = Linear(queries, config.hidden_size)
        self.join("q_proj", "k_proj", "v_proj")

    def forward(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        """(batch, length, hidden) to the same shape, and the attention weights where the backend has them."""
        batch, length, _ = x.shape
        qkv = self.together(x).view(batch, length, -1, self.head_dim)  # (batch, length, heads of all three, head_dim)
        qk, v = qkv.tensor_split((-self.kv_heads,), dim=2)
        q, k = rotate(qk, context.rotation).tensor_split((-self.kv_heads,), dim=2)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (batch, heads, length, head_dim)
        if context.cache is not None:
            k, v = context.cache.update(k, v, self.layer)
        dropout = self.dropout if self.training else 0.0
        out, weights = COMPUTE[context.backend](q, k, v, context.mask, context.causal, dropout)
        out = out.transpose(1, 2).reshape(batch, length, -1)  # (batch, length, heads * head_dim)
        return self.o_proj(out), weights
