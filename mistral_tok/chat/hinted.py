"""JSON values → what the type hints of a function say: the way back from `hints.py`, hint by hint."""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import types
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from mistral_tok.chat.hints import hint_schema

Fits = Callable[[dict[str, Any], Any], bool]
"""Whether a schema lets a value pass."""


def hinted(value: Any, hint: Any, fits: Fits) -> Any:
    """A value that the schema of `hint` let pass, as an instance of it; what is not made of other things stays.

    Of a union it becomes the first type that it `fits`. Constructors of dataclasses and pydantic models may raise what
    they like; ValueError for a tuple of another length.

    >>> hinted({"a": [1, 1]}, dict[str, set[int]], lambda schema, value: True)
    {'a': {1}}
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin is Union or origin is types.UnionType:
        kinds = [arg for arg in args if arg is not type(None)]
        chosen = next((kind for kind in kinds if len(kinds) == 1 or fits(hint_schema(kind), value)), Any)
        return None if value is None and type(None) in args else hinted(value, chosen, fits)
    if origin is Literal:
        return next((m for m in args if isinstance(m, Enum) and m.value == value), value)
    if origin in (Annotated, Required, NotRequired):
        return hinted(value, args[0], fits)
    for name in ("__supertype__", "__value__"):  # of NewType and of type aliases
        if (inner := getattr(hint, name, None)) is not None:
            return hinted(value, inner, fits)
    kind = origin or hint
    if isinstance(value, list):
        return _collection(value, kind, args, fits)
    if isinstance(value, dict):
        return _object(value, kind, args, fits)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if kind in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        return kind(value)  # 2 is a number, and 2.0 an integer
    return value


def _collection(value: list[Any], kind: Any, args: tuple[Any, ...], fits: Fits) -> Any:
    if kind is tuple and args and args[-1] is not ...:
        if len(value) != len(args):
            raise ValueError(f"there are {len(value)} items, and must be {len(args)}")
        return tuple(hinted(item, arg, fits) for item, arg in zip(value, args, strict=True))
    items = [hinted(item, args[0], fits) for item in value] if args else value
    if kind is tuple:
        return tuple(items)
    if kind in (set, abc.Set, abc.MutableSet):
        return set(items)
    return frozenset(items) if kind is frozenset else items


def _object(value: dict[str, Any], kind: Any, args: tuple[Any, ...], fits: Fits) -> Any:
    if len(args) == 2:
        return {_key(key, args[0]): hinted(item, args[1], fits) for key, item in value.items()}
    if hasattr(kind, "model_validate"):
        return kind.model_validate(value)
    if not dataclasses.is_dataclass(kind) and not hasattr(kind, "__required_keys__"):
        return value
    hints = get_type_hints(kind)
    fields = {name: hinted(item, hints.get(name, Any), fits) for name, item in value.items()}
    return kind(**fields) if isinstance(kind, type) else fields


def _key(key: str, hint: Any) -> Any:
    """A key, which JSON writes as a string."""
    return hint(key) if hint in (int, float) else key
