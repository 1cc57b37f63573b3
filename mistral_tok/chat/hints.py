"""Type hints → JSON schema; where transformers' `get_json_schema` has an answer, the same one.

Beyond it: sets, abstract collections, tuples of any length, NewType, type aliases, enum members as literals, and
classes with fields (TypedDict, dataclass, pydantic). PIL images and tensors are refused: `image` and `audio` are no
types of JSON schema.
"""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from enum import Enum
from math import isfinite
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from mistral_tok.chat.docstrings import parse_docstring

Schema = dict[str, Any]

_SCALARS: dict[object, str] = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}
_LISTS = {list, tuple, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable}
_SETS = {set, frozenset, abc.Set, abc.MutableSet}
_MAPPINGS = {dict, abc.Mapping, abc.MutableMapping}
_WRAPPERS = (Annotated, Required, NotRequired)


class HintError(Exception):
    """A type hint that JSON schema cannot express; the text says why, the caller says where."""


def hint_schema(hint: Any, within: tuple[object, ...] = ()) -> Schema:
    """The JSON schema of a resolved type hint; `within` are the classes being described, against recursion.

    >>> hint_schema(dict[str, list[int] | None])
    {'type': 'object', 'additionalProperties': {'type': 'array', 'items': {'type': 'integer'}, 'nullable': True}}
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin is None:
        return _plain(hint, within)
    if origin is Union or origin is types.UnionType:
        return _union(args, within)
    if origin is Literal:
        return _enumeration([_literal(value) for value in args], hint)
    if origin in _WRAPPERS:
        return hint_schema(args[0], within)
    if not args:  # typing.List and its like, without arguments
        return _plain(origin, within)
    if origin is tuple:
        return _tuple(args, within)
    if origin in _LISTS or origin in _SETS:
        return {**_plain(origin, within), "items": hint_schema(args[0], within)}
    if origin in _MAPPINGS:
        return _mapping(args, within)
    alias = getattr(origin, "__value__", None)
    if alias is not None:
        return hint_schema(alias[args], within)
    raise HintError(f"the type {_name(hint)} has no JSON schema; use the types of JSON, or write the schema by hand")


def _plain(hint: Any, within: tuple[object, ...]) -> Schema:
    """The schema of a hint without type arguments."""
    if hint is Any:
        return {}
    if hint is None:
        return {"type": "null"}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enumeration([member.value for member in hint], hint)
    if isinstance(hint, abc.Hashable):
        if hint in _SCALARS:
            return {"type": _SCALARS[hint]}
        if hint in _LISTS:
            return {"type": "array"}
        if hint in _SETS:
            return {"type": "array", "uniqueItems": True}
        if hint in _MAPPINGS:
            return {"type": "object"}
    if (inner := getattr(hint, "__supertype__", None)) is not None:  # NewType
        return hint_schema(inner, within)
    if type(hint).__name__ == "TypeAliasType":
        return _nested(hint, within, lambda inside: hint_schema(hint.__value__, inside))
    if isinstance(hint, type):
        return _class(hint, within)
    raise HintError(f"{_name(hint)} is not a type that can be expressed in JSON schema")


def _union(args: tuple[Any, ...], within: tuple[object, ...]) -> Schema:
    """One type, a list of plain type names, or `anyOf`; None becomes `nullable`, as in transformers."""
    schemas = [hint_schema(arg, within) for arg in args if arg is not type(None)]
    result: Schema
    if len(schemas) == 1:
        result = schemas[0]
    elif all(schema.keys() == {"type"} and isinstance(schema["type"], str) for schema in schemas):
        names = sorted({schema["type"] for schema in schemas})
        result = {"type": names[0] if len(names) == 1 else names}
    else:
        result = {"anyOf": schemas}
    if type(None) in args:
        result["nullable"] = True
    return result


def _literal(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def _enumeration(values: list[Any], hint: object) -> Schema:
    """`enum` with the JSON types of its values, in the order in which they appear."""
    if not values:
        raise HintError(f"{_name(hint)} has no members, so that no value could match it")
    for value in values:
        if type(value) not in _SCALARS or (isinstance(value, float) and not isfinite(value)):
            raise HintError(f"the value {value!r} of {_name(hint)} is not a string, number, boolean or None")
    names = list(dict.fromkeys(_SCALARS[type(value)] for value in values))
    return {"type": names[0] if len(names) == 1 else names, "enum": values}


def _tuple(args: tuple[Any, ...], within: tuple[object, ...]) -> Schema:
    if len(args) == 2 and args[1] is ...:
        return {"type": "array", "items": hint_schema(args[0], within)}
    items = [hint_schema(arg, within) for arg in args]
    # A lone element is unusual enough that transformers refuses it; its length must be said for it to mean anything.
    return {"type": "array", "prefixItems": items, **({"minItems": 1, "maxItems": 1} if len(items) == 1 else {})}


def _mapping(args: tuple[Any, ...], within: tuple[object, ...]) -> Schema:
    kinds = hint_schema(args[0], within).get("type", [])
    if not ({kinds} if isinstance(kinds, str) else set(kinds)) <= set(_SCALARS.values()):
        raise HintError(f"keys of JSON objects are strings, not {_name(args[0])}")
    return {"type": "object", "additionalProperties": hint_schema(args[1], within)}


def _class(cls: type, within: tuple[object, ...]) -> Schema:
    """The schema of a class with fields: pydantic, dataclass or TypedDict."""
    pydantic = sys.modules.get("pydantic")  # a pydantic model exists only where pydantic has been imported
    if pydantic is not None and issubclass(cls, pydantic.BaseModel):
        return _pydantic(cls)
    if dataclasses.is_dataclass(cls):
        required = {f.name for f in dataclasses.fields(cls) if f.init and _has_no_default(f)}
        names = [f.name for f in dataclasses.fields(cls) if f.init]
        return _nested(cls, within, lambda inside: _fields(cls, names, required, inside))
    if issubclass(cls, dict) and hasattr(cls, "__required_keys__"):  # TypedDict, that of typing_extensions included
        names = list(get_type_hints(cls))
        return _nested(cls, within, lambda inside: _fields(cls, names, set(cls.__required_keys__), inside))
    raise HintError(
        f"the class {_name(cls)} has no JSON schema; use a dataclass, a TypedDict or a pydantic model, "
        "or write the schema by hand"
    )


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _nested(hint: Any, within: tuple[object, ...], describe: typing.Callable[[tuple[object, ...]], Schema]) -> Schema:
    if hint in within:
        raise HintError(f"{_name(hint)} contains itself; a tool's schema cannot be recursive")
    return describe((*within, hint))


def _fields(cls: type, names: Iterable[str], required: set[str], within: tuple[object, ...]) -> Schema:
    """An object schema of named fields, with the descriptions of the class's `Attributes:` (or `Args:`) section."""
    try:
        hints = get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise HintError(f"in {_name(cls)}, {error}") from error
    doc = inspect.cleandoc(cls.__doc__ or "").replace("Attributes:", "Args:")
    described = parse_docstring(doc, hints).arguments
    properties: dict[str, Schema] = {}
    needed: list[str] = []
    for name in names:
        try:
            properties[name] = hint_schema(hints[name], within)
        except HintError as error:
            raise HintError(f"in field {name!r} of {_name(cls)}, {error}") from error
        if described.get(name):
            properties[name]["description"] = described[name]
        origin = get_origin(hints[name])  # under string annotations the class itself does not know about NotRequired
        if origin is Required or (name in required and origin is not NotRequired):
            needed.append(name)
    return {"type": "object", "properties": properties, **({"required": needed} if needed else {})}


def _pydantic(cls: Any) -> Schema:
    """Pydantic's own schema, with its definitions put in place: a parameter's schema has no room for `$defs`."""
    try:
        schema = cls.model_json_schema()
    except Exception as error:  # pydantic's error types are not importable here without importing pydantic
        raise HintError(f"pydantic gives no JSON schema for {_name(cls)}: {error}") from error
    result: Schema = _inlined(schema, schema.pop("$defs", {}), ())
    return result


def _inlined(value: Any, definitions: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [_inlined(item, definitions, within) for item in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if isinstance(reference, str):
        name = reference.rpartition("/")[2]
        if name in within:
            raise HintError(f"{name} contains itself; a tool's schema cannot be recursive")
        rest = {key: item for key, item in value.items() if key != "$ref"}
        return {**_inlined(definitions[name], definitions, (*within, name)), **_inlined(rest, definitions, within)}
    return {key: _inlined(item, definitions, within) for key, item in value.items()}


def _name(hint: object) -> str:
    return getattr(hint, "__name__", None) or str(hint).replace("typing.", "")
