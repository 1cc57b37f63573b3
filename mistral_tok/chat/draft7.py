"""Is a JSON schema valid by draft 7? Plain schemas are recognised at once, the rest go to `jsonschema`."""

from __future__ import annotations

from typing import Any

TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
TEXTS = frozenset({"title", "description", "format"})
ANYTHING = frozenset({"default", "const", "nullable", "prefixItems"})


def problem(schema: Any) -> str | None:
    """Why `schema` is not valid by draft 7, or None if it is."""
    if plain(schema, 16):
        return None
    import jsonschema
    import jsonschema.exceptions

    try:
        jsonschema.Draft7Validator.check_schema(schema)
    except jsonschema.exceptions.SchemaError as error:
        return str(error.message)
    except RecursionError:
        return "it is nested too deeply"
    return None


def plain(schema: Any, depth: int) -> bool:
    """True if `schema` is certainly valid: a dict of the common keywords in their usual shapes."""
    if type(schema) is not dict or depth == 0:
        return False
    return all(_plain_keyword(key, value, depth) for key, value in schema.items())


def _plain_keyword(key: Any, value: Any, depth: int) -> bool:
    if key == "type":
        return type(value) is str and value in TYPES
    if key in TEXTS:
        return type(value) is str
    if key == "properties":
        if type(value) is not dict:
            return False
        return all(type(name) is str and plain(part, depth - 1) for name, part in value.items())
    if key == "items":
        return plain(value, depth - 1)
    if key == "required":
        return _unique_texts(value)
    if key == "enum":
        return _unique_texts(value) and bool(value)
    if key == "additionalProperties":
        return type(value) is bool
    if key in ("anyOf", "oneOf", "allOf"):
        return type(value) is list and bool(value) and all(plain(part, depth - 1) for part in value)
    return key in ANYTHING


def _unique_texts(value: Any) -> bool:
    return type(value) is list and all(type(name) is str for name in value) and len(set(value)) == len(value)
