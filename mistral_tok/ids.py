"""Checks of what callers pass as ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any


def check_id(id: object, limit: int) -> int:
    """Return one id as an int; TypeError or ValueError unless it is an integer from 0 to `limit` - 1."""
    if isinstance(id, bool) or not hasattr(id, "__index__"):
        raise TypeError(f"id is {id!r:.60} of type {type(id).__name__}; an id is an int.")
    value = int(id.__index__())
    if not 0 <= value < limit:
        raise ValueError(f"id is {value}; this vocabulary has the ids 0 to {limit - 1}.")
    return value


def as_list(ids: object) -> list[Any] | tuple[Any, ...]:
    """Return ids as a list or tuple whose items are still to be checked; TypeError for what holds no ids."""
    if type(ids) is list or isinstance(ids, tuple):
        return ids
    if ids is None or isinstance(ids, (str, bytes, bytearray, Mapping, Set)):
        raise TypeError(f"ids is of type {type(ids).__name__}; expected ints.")
    if hasattr(ids, "__array__"):
        return _from_array(ids)
    if hasattr(ids, "__index__"):
        return [ids]
    if isinstance(ids, Iterable):
        return list(ids)
    raise TypeError(f"ids is of type {type(ids).__name__}; expected ints.")


def _from_array(ids: Any) -> list[int]:
    import numpy as np

    array = np.asarray(ids.detach().cpu() if hasattr(ids, "detach") else ids)
    if array.dtype.kind not in "iu":
        raise TypeError(f"ids is an array of {array.dtype}; expected integers.")
    if array.ndim > 1:
        raise ValueError(f"ids is an array of shape {array.shape}; expected one dimension. Use decode_batch for rows.")
    found: list[int] = array.reshape(-1).tolist()
    return found
