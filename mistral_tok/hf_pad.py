"""Padding of what was encoded before: batches that collators put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mistral_tok.batch import places, width_of
from mistral_tok.encoding import BatchEncoding
from mistral_tok.hf_options import Shape

PADDING = {
    "attention_mask": 0,
    "special_tokens_mask": 1,
    "assistant_masks": 0,
    "offset_mapping": 0,
    "token_type_ids": 0,
    "labels": -100,
}
"""Values that the columns of a batch are padded with, beside the ids."""


def pad_features(features: Any, shape: Shape, pad: int, mask: bool, tensors: str | None) -> BatchEncoding:
    """Pad one encoded text or a batch of them; `mask` adds an attention mask where there is none.

    Raises:
        ValueError: see `MistralCommonTokenizer.pad`.

    """
    data = _columns(features)
    ids = data["input_ids"]
    kind = tensors or _kind(ids)
    data = {name: _plain(value) for name, value in data.items()}
    ids = data["input_ids"]
    single = len(ids) > 0 and not isinstance(ids[0], Sequence)
    if single:
        data = {name: [value] for name, value in data.items()}
        ids = data["input_ids"]
    lengths = [len(row) for row in ids]
    if mask and "attention_mask" not in data:
        data["attention_mask"] = [[1] * n for n in lengths]
    uneven = [name for name, value in data.items() if not isinstance(value, Sequence) or len(value) != len(ids)]
    if uneven:
        raise ValueError(f"{uneven} have not the {len(ids)} rows that input_ids has.")
    if shape.pads:
        width = width_of(lengths, shape.padding == "longest", shape.max_length, shape.multiple)
        values = {"input_ids": pad, **PADDING}
        for name in data.keys() & values.keys():
            data[name] = _padded(data[name], lengths, width, shape.side, values[name], kind is not None)
    if single:
        data = {name: value[0] for name, value in data.items()}
    return BatchEncoding(data, tensor_type=kind)


def _columns(features: Any) -> dict[str, Any]:
    """A list of mappings as one mapping of lists."""
    if isinstance(features, list | tuple) and features and isinstance(features[0], Mapping):
        features = {name: [feature[name] for feature in features] for name in features[0]}
    if not isinstance(features, Mapping) or "input_ids" not in features:
        given = list(features) if isinstance(features, Mapping) else type(features).__name__
        raise ValueError(f"pad needs an encoding, or a list of them, that includes input_ids; it was given {given}.")
    return dict(features)


def _kind(ids: Any) -> str | None:
    """Which tensors ids are: of the whole batch, or of each row."""
    found = ids[0] if isinstance(ids, list | tuple) and len(ids) else ids
    if hasattr(found, "detach"):
        return "pt"
    return "np" if isinstance(found, np.ndarray | np.generic) else None


def _plain(value: Any) -> Any:
    """Arrays and tensors, or lists of them, as lists."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple) and value and hasattr(value[0], "tolist"):
        return [item.tolist() if hasattr(item, "tolist") else item for item in value]
    return value


def _padded(rows: Any, lengths: list[int], width: int, side: str, value: int, as_array: bool) -> Any:
    """Rows of one column padded to `width`; rows that do not belong to the ids one by one stay as they are."""
    if any(not isinstance(row, Sequence) or len(row) != n for row, n in zip(rows, lengths, strict=True)):
        return rows
    if as_array and max(lengths, default=0) <= width:
        flat = np.array([item for row in rows for item in row], np.int64)
        batch = np.full((len(rows), width, *flat.shape[1:]), value, np.int64)
        batch[places(np.array(lengths, np.int64), width, "left" if side == "left" else "right")] = flat
        return batch
    pairs = any(len(row) and isinstance(row[0], Sequence) for row in rows)
    gap: Any = (value, value) if pairs else value
    if side == "left":
        return [[gap] * (width - n) + list(row) for row, n in zip(rows, lengths, strict=True)]
    return [list(row) + [gap] * (width - n) for row, n in zip(rows, lengths, strict=True)]
