"""Checks of what callers pass as ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def check_id(id: object, limit: int) -> int:
    """Return one id as an int; TypeError or ValueError unless it is an integer from 0 to `limit` - 1."""
    if isinstance(id, bool) or not hasattr(id, "__index__"):
        raise TypeError(f"id is {id!r:.60} of type {type(id).__name__}; an id is an int.")
    value = int(id.__index__())
    if not 0 <= value < limit:
        raise ValueError(f"id is {value}; this vocabulary has the ids 0 to {limit - 1}.")
    return value


def as_ids(ids: object) -> list[Any] | tuple[Any, ...] | np.ndarray:
    """Return ids as the core takes them, their values still to be checked; TypeError for what holds no ids.

    That is a list, a tuple, or an array of int32 or int64 in one block.
    """
    if type(ids) is list or isinstance(ids, tuple):
        return ids
    if hasattr(ids, "__array__"):  # before abstract classes are asked, which takes longer than decoding a few ids
        return _from_array(ids)
    if ids is None or isinstance(ids, (str, bytes, bytearray, Mapping, Set)):
        raise TypeError(f"ids is of type {type(ids).__name__}; expected ints.")
    if hasattr(ids, "__index__"):
        return [ids]
    if isinstance(ids, Iterable):
        return list(ids)
    raise TypeError(f"ids is of type {type(ids).__name__}; expected ints.")


def _from_array(ids: Any) -> list[int] | np.ndarray:
    import numpy as np

    array = np.asarray(ids.detach().cpu() if hasattr(ids, "detach") else ids)
    if array.dtype.kind not in "iu":
        raise TypeError(f"ids is an array of {array.dtype}; expected integers.")
    if array.ndim > 1:
        raise ValueError(f"ids is an array of shape {array.shape}; expected one dimension. Use decode_batch for rows.")
    if array.dtype == np.uint64:  # may hold more than int64 does
        found: list[int] = array.reshape(-1).tolist()
        return found
    return np.ascontiguousarray(array, np.int32 if array.dtype == np.int32 else np.int64)
