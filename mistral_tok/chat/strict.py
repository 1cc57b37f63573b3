"""Native dicts (the fields of our own types) → records; keys that no field has are refused or listed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

from mistral_tok.chat.refusals import InvalidShapeException, MissingFieldException

T = TypeVar("T")
NESTED = frozenset((dict, list, tuple))
"""Types of values that may hold keys."""

TOLD = 300
"""Characters of a wrong value that a message repeats at most."""


def refusal(error: msgspec.ValidationError) -> InvalidShapeException:
    """The refusal that msgspec's error stands for, with its path."""
    text, _, path = str(error).partition(" - at `")
    missing = text.startswith("Object missing required field")
    if len(text) > TOLD:
        text = f"{text[:TOLD]}… ({len(text)} characters)"
    return (MissingFieldException if missing else InvalidShapeException)(text, path.rstrip("`") or "$")


def unknown_keys(data: Any, record: Any, path: str = "$") -> Iterator[str]:
    """Paths of the keys of `data` that the record made from it does not hold."""
    if isinstance(record, list | tuple):
        for i, (part, item) in enumerate(zip(data, record, strict=False)):
            yield from unknown_keys(part, item, f"{path}[{i}]")
    elif isinstance(record, msgspec.Struct) and isinstance(data, Mapping):
        config = record.__struct_config__
        known = _names(type(record))
        for key, part in data.items():
            if key in known:
                yield from unknown_keys(part, getattr(record, known[key]), f"{path}.{key}")
            elif key != config.tag_field:
                yield f"{path}.{key}"


def convert(data: Any, kind: type[T]) -> T:
    """Conversion by msgspec with our refusals.

    Strings of another type (enums, mostly) and mappings that are not dicts are made plain before a refusal is final.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        first = error
    except UnicodeEncodeError:
        raise InvalidShapeException("half of a surrogate pair is no text; remove it", _surrogate(data)) from None
    try:
        return msgspec.convert(plain(data), kind)
    except (msgspec.ValidationError, UnicodeEncodeError, RecursionError):
        raise refusal(first) from None


def _surrogate(data: Any) -> str:
    """The path of the first text that UTF-8 cannot hold, by a search that no nesting is too deep for."""
    waiting: list[tuple[Any, str]] = [(data, "$")]
    while waiting:
        value, path = waiting.pop()
        if isinstance(value, str):
            if any("\ud800" <= letter <= "\udfff" for letter in value):
                return path
        elif isinstance(value, dict):
            if any(isinstance(key, str) and _surrogate(key) for key in value):
                return path
            waiting += [(part, f"{path}.{key}") for key, part in reversed(value.items())]
        elif isinstance(value, list | tuple):
            waiting += [(part, f"{path}[{i}]") for i, part in reversed(list(enumerate(value)))]
    return ""


def plain(data: Any) -> Any:
    """`data` with exact strings, dicts and lists instead of their subclasses and of pydantic objects; others stay."""
    if isinstance(data, str):
        return str.__str__(data) if type(data) is not str else data
    if isinstance(data, Mapping):
        return {plain(key): plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(value) for value in data]
    fields = pydantic_fields(data)
    return data if fields is None else plain(fields)


def pydantic_fields(value: Any) -> dict[str, Any] | None:
    """The fields of a pydantic object under the names of the wire; None for any other value."""
    names = getattr(type(value), "model_fields", None)
    if not isinstance(names, Mapping):
        return None
    return {"schema" if name == "custom_schema" else name: getattr(value, name) for name in names}


@cache
def _names(kind: Any) -> dict[str, str]:
    """The keys of a record's fields → their names."""
    return dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))


def strictly(data: Any, kind: type[T]) -> T:
    """Convert `data` and refuse keys that no field has."""
    record: Any = convert(data, kind)
    if isinstance(data, dict) and data.keys() <= _names(record.__class__).keys() and _holds_no_keys(data.values()):
        return cast("T", record)
    for path in unknown_keys(data, record):
        raise InvalidShapeException("unknown key; native requests allow only the fields of their type", path)
    return cast("T", record)


def _holds_no_keys(values: Iterable[Any]) -> bool:
    """Whether none of these values is a dict, or a list that could hold one."""
    return not any(value and type(value) in NESTED for value in values)
