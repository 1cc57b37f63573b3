"""Rotary position embeddings, in the half-split layout: feature i turns together with feature i + head_dim // 2."""

from __future__ import annotations

import torch
from torch import Tensor


def inverse_frequencies(head_dim: int, theta: float, device: torch.device | None = None) -> Tensor:
    """Angle per position of each pair, float32 (head_dim // 2,)."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device=device) / head_dim
    return 1.0 / (theta**exponents)


def rotations(positions: Tensor, frequencies: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines for `rotate`, each (batch, length, 1, head_dim).

    Angles are float32 whatever the model's dtype: bfloat16 cannot tell position 257 from 256. The sine of the first
    half carries the minus sign of the rotation, which saves a negation in every layer.
    """
    angles = positions[..., None].float() * frequencies  # (batch, length, head_dim // 2)
    cos, sin = angles.cos(), angles.sin()
    cos = torch.cat((cos, cos), dim=-1).to(dtype)
    sin = torch.cat((-sin, sin), dim=-1).to(dtype)
    return cos[:, :, None], sin[:, :, None]


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair of (batch, length, heads, head_dim) by its position's angle."""
    cos, sin = rotation
    return x * cos + x.roll(x.shape[-1] // 2, dims=-1) * sin


def interleaved_to_half(weight: Tensor, heads: int) -> Tensor:
    """Reorder the rows of a query or key projection from Mistral's own layout, where neighbours turn together.

    Row pairs (0, 1), (2, 3) … of every head become (0, d/2), (1, d/2 + 1) …

    >>> interleaved_to_half(torch.arange(8)[:, None], heads=2).flatten().tolist()
    [0, 2, 1, 3, 4, 6, 5, 7]
    """
    rows, columns = weight.shape
    pairs = weight.view(heads, rows // heads // 2, 2, columns)  # (heads, pair, which of the two, columns)
    return pairs.transpose(1, 2).reshape(rows, columns)
