"""From the blocks of GGUF's tensor types to float32, in the arithmetic of the reference implementation.

Each function takes bytes (blocks, bytes of a block) and returns (blocks, elements of a block). Formats:
https://github.com/ggml-org/llama.cpp/blob/master/ggml/src/ggml-common.h
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def dequantize(raw: Tensor, kind: str) -> Tensor:
    """Values of `raw`, uint8 (rows, bytes), as float32 (rows, elements)."""
    if kind in _FLOATS:
        return raw.view(_FLOATS[kind]).float()
    size, unpack = _BLOCKS[kind]
    return unpack(raw.reshape(-1, size)).reshape(len(raw), -1)


def _half(blocks: Tensor, at: int) -> Tensor:
    """The float16 at byte `at` of each block, as float32 (blocks, 1)."""
    return blocks[:, at : at + 2].contiguous().view(torch.float16).float()


def _nibbles(packed: Tensor) -> Tensor:
    """Low halves of all bytes, then the high halves; (..., n) to (..., 2 n)."""
    return torch.cat((packed & 15, packed >> 4), dim=-1)


def _fifth_bits(packed: Tensor) -> Tensor:
    """Bit i of a 32-bit word as 0 or 16; (blocks, 4) to (blocks, 32)."""
    bits = packed[:, :, None] >> torch.arange(8, dtype=torch.uint8)  # (blocks, byte, bit)
    return (bits & 1).reshape(-1, 32) << 4


def _q8_0(b: Tensor) -> Tensor:
    return _half(b, 0) * b[:, 2:].contiguous().view(torch.int8).float()


def _q4_0(b: Tensor) -> Tensor:
    return _half(b, 0) * (_nibbles(b[:, 2:]).float() - 8)


def _q4_1(b: Tensor) -> Tensor:
    return _half(b, 0) * _nibbles(b[:, 4:]).float() + _half(b, 2)


def _q5_0(b: Tensor) -> Tensor:
    return _half(b, 0) * ((_nibbles(b[:, 6:]) | _fifth_bits(b[:, 2:6])).float() - 16)


def _q5_1(b: Tensor) -> Tensor:
    return _half(b, 0) * (_nibbles(b[:, 8:]) | _fifth_bits(b[:, 4:8])).float() + _half(b, 2)


def _scales_and_mins(packed: Tensor) -> tuple[Tensor, Tensor]:
    """Eight 6-bit scales and eight 6-bit minima from 12 bytes, each (blocks, 8).

    The first four of each are the low six bits of bytes 0-3 and 4-7; the last four have their low four bits in bytes
    8-11 and their two high bits on top of the first ones.
    """
    first, second, rest = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = torch.cat((first & 63, (rest & 15) | ((first >> 6) << 4)), dim=1)
    minima = torch.cat((second & 63, (rest >> 4) | ((second >> 6) << 4)), dim=1)
    return scales.float(), minima.float()


def _scaled(b: Tensor, values: Tensor) -> Tensor:
    """Sub-blocks (blocks, 8, 32) times their scales, minus their minima."""
    scales, minima = _scales_and_mins(b[:, 4:16])
    scaled = (_half(b, 0) * scales)[:, :, None] * values.float() - (_half(b, 2) * minima)[:, :, None]
    return scaled.reshape(-1, 256)


def _q4_k(b: Tensor) -> Tensor:
    return _scaled(b, _nibbles(b[:, 16:].reshape(-1, 4, 32)).reshape(-1, 8, 32))


def _q5_k(b: Tensor) -> Tensor:
    bits = b[:, 16:48][:, None, :] >> torch.arange(8, dtype=torch.uint8)[:, None]  # (blocks, sub-block, element)
    low = _nibbles(b[:, 48:].reshape(-1, 4, 32)).reshape(-1, 8, 32)
    return _scaled(b, low | ((bits & 1) << 4))


def _q6_k(b: Tensor) -> Tensor:
    low = _nibbles(b[:, :128].reshape(-1, 2, 64))  # (blocks, half, 128)
    shifts = torch.tensor([0, 2, 4, 6], dtype=torch.uint8)[:, None]
    high = (b[:, 128:192].reshape(-1, 2, 1, 32) >> shifts) & 3  # (blocks, half, quarter, 32)
    values = (low | (high.reshape(-1, 2, 128) << 4)).reshape(-1, 16, 16).float() - 32
    scales = b[:, 192:208].contiguous().view(torch.int8).float()
    return ((_half(b, 208) * scales)[:, :, None] * values).reshape(-1, 256)


_FLOATS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_BLOCKS: dict[str, tuple[int, Callable[[Tensor], Tensor]]] = {
    "Q8_0": (34, _q8_0),
    "Q4_0": (18, _q4_0),
    "Q4_1": (20, _q4_1),
    "Q5_0": (22, _q5_0),
    "Q5_1": (24, _q5_1),
    "Q4_K": (144, _q4_k),
    "Q5_K": (176, _q5_k),
    "Q6_K": (210, _q6_k),
}
