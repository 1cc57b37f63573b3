"""Tools from Python functions, and arguments checked against a tool's schema."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, get_type_hints

from mistral_tok.chat.docstrings import Docstring, parse_docstring, take_choices
from mistral_tok.chat.hinted import hinted
from mistral_tok.chat.hints import HintError, Schema, hint_schema
from mistral_tok.errors import InvalidFunctionCallException, InvalidToolException, InvalidToolSchemaException

_PER_CALL = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def tool_from_callable(fn: Callable[..., Any]) -> dict[str, Any]:
    """Describe a function as a tool: OpenAI's tool dict, from its signature, type hints and Google-style docstring.

    Every parameter needs a type hint and a line below `Args:`; a description that ends in `(choices: ["a", "b"])`
    restricts the values. A parameter with a default is not required. The result is what transformers' `get_json_schema`
    gives, which includes `return` where the function has a return hint; `hints.py` says what is understood beyond it.

    Raises InvalidToolException, naming function and parameter, for what cannot be expressed: no docstring, no type
    hint, no description, `*args` and `**kwargs`, and types without a JSON schema.

    >>> def area(width: float, height: float = 1.0):
    ...     '''Compute an area.
    ...
    ...     Args:
    ...         width: Width in metres.
    ...         height: Height in metres.
    ...     '''
    >>> tool_from_callable(area)["function"]["parameters"]["required"]
    ['width']
    """
    name, parameters, doc, function = _inspect(fn)
    properties: dict[str, Schema] = {}
    required: list[str] = []
    for parameter in parameters:
        properties[parameter.name] = _property(name, parameter, function, doc)
        if parameter.default is parameter.empty:
            required.append(parameter.name)
    schema: Schema = {"type": "object", "properties": properties, **({"required": required} if required else {})}
    described: dict[str, Any] = {"name": name, "description": doc.description, "parameters": schema}
    returned = _returned(function, doc)
    if returned is not None:
        described["return"] = returned
    return {"type": "function", "function": described}


def validate_arguments(schema: Mapping[str, Any], arguments: str | Mapping[str, Any]) -> dict[str, Any]:
    """Check the arguments of a call, as a dict or as JSON text, against a tool's parameters; give them as a dict.

    `schema` is the parameters' schema or a whole tool. The rules are those of JSON schema Draft 7, which mistral-common
    holds tools to, with the two keywords besides that schemas of Python functions carry: `nullable` and `prefixItems`.
    References to other documents are not followed.

    Raises InvalidToolSchemaException if the schema itself is not valid, InvalidFunctionCallException if the arguments
    do not fit; the message has the path of the first fault.

    >>> validate_arguments({"type": "object", "properties": {"n": {"type": "integer"}}}, '{"n": "x"}')
    Traceback (most recent call last):
    mistral_tok.errors.InvalidFunctionCallException: $.n: 'x' is not of type 'integer'
    """
    import jsonschema  # type: ignore[import-untyped, unused-ignore]
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    function = schema.get("function")
    if isinstance(function, Mapping) and schema.get("type") == "function":
        schema = function.get("parameters") or {}
    parsed = _parsed(arguments)
    validator = _validator_class()
    try:
        validator.check_schema(schema)
        # An empty registry: jsonschema would otherwise fetch a `$ref` from the network.
        fault = next(iter(validator(schema, registry=Registry()).iter_errors(parsed)), None)
    except (jsonschema.SchemaError, Unresolvable) as error:
        text = getattr(error, "message", None) or str(error)
        raise InvalidToolSchemaException(f"The parameters of the tool are not a valid schema: {text}") from error
    except RecursionError as error:
        raise InvalidFunctionCallException("$: the arguments are nested too deeply to be checked.") from error
    if fault is not None:
        raise InvalidFunctionCallException(f"{fault.json_path}: {fault.message}")
    return parsed


def python_arguments(fn: Callable[..., Any], arguments: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """What to call a function with, by position and by name: arguments that fit its schema, as its type hints say.

    Objects become dataclasses or pydantic models, strings members of an Enum, arrays sets and tuples. What their
    constructors raise is raised here.
    """
    _, parameters, _, function = _inspect(fn)
    positional: list[Any] = []
    named = dict(arguments)
    for parameter in parameters:
        if parameter.name in named:
            hint = _resolved(function, parameter.name, parameter.annotation)
            named[parameter.name] = hinted(named[parameter.name], hint, _fits)
        if parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(named.pop(parameter.name, parameter.default))
    return positional, named


def _fits(schema: Schema, value: Any) -> bool:
    valid: bool = _validator_class()(schema).is_valid(value)
    return valid


def _inspect(fn: Callable[..., Any]) -> tuple[str, list[inspect.Parameter], Docstring, Callable[..., Any]]:
    """Name, parameters that a caller gives, docstring and the function that has the type hints."""
    bound: Mapping[str, Any] = {}
    function = fn
    if isinstance(fn, functools.partial):
        bound, function = fn.keywords, fn.func
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or not name.isidentifier():
        raise InvalidToolException(f"{fn!r} has no name to call it by: pass a function written with `def`.")
    text = inspect.getdoc(function)
    if not text or not text.strip():
        raise InvalidToolException(f"{name}: it has no docstring; a tool needs a description and an `Args:` section.")
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError) as error:
        raise InvalidToolException(f"{name}: its signature cannot be read ({error}); wrap it in a function.") from error
    if parameters and parameters[0].name in ("self", "cls") and parameters[0].annotation is inspect.Parameter.empty:
        del parameters[0]
    parameters = [p for p in parameters if p.name not in bound]
    return name, parameters, parse_docstring(text, {p.name for p in parameters}), function


def _property(name: str, parameter: inspect.Parameter, function: Callable[..., Any], doc: Docstring) -> Schema:
    """The schema of one parameter, with its description."""
    where = f"{name}, parameter {parameter.name!r}"
    if parameter.kind in _PER_CALL:
        raise InvalidToolException(f"{where}: * and ** parameters have no schema; name each parameter.")
    if parameter.annotation is parameter.empty:
        raise InvalidToolException(f"{where}: it has no type hint.")
    try:
        schema = hint_schema(_resolved(function, parameter.name, parameter.annotation))
    except HintError as error:
        raise InvalidToolException(f"{where}: {error}.") from error
    except RecursionError as error:
        raise InvalidToolException(f"{where}: its type is nested too deeply.") from error
    if parameter.name not in doc.arguments:
        raise InvalidToolException(f"{where}: the docstring's `Args:` section does not describe it.")
    description, choices = take_choices(doc.arguments[parameter.name], where)
    if choices is not None:
        schema["enum"] = choices
    schema["description"] = description
    return schema


def _returned(function: Callable[..., Any], doc: Docstring) -> Schema | None:
    """The schema of the result, or None: what cannot be expressed is left out, since no model ever writes a result."""
    annotations = getattr(inspect.unwrap(function), "__annotations__", {})
    if "return" not in annotations:
        return None
    try:
        schema = hint_schema(_resolved(function, "return", annotations["return"]))
    except (HintError, RecursionError):
        return None
    if doc.returns is not None:
        schema["description"] = doc.returns
    return schema


def _resolved(function: Callable[..., Any], name: str, annotation: object) -> Any:
    """Evaluate one annotation by itself, so that a name which cannot be found is blamed on the right parameter."""
    target = inspect.unwrap(function)
    target = getattr(target, "__func__", target)
    names = dict(getattr(target, "__globals__", {}), **dict(_closure(target)))
    holder = type("_Holder", (), {"__annotations__": {name: annotation}})
    try:
        return get_type_hints(holder, globalns=names, localns={})[name]
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise HintError(f"its type hint {annotation!r} cannot be resolved ({error})") from error


def _closure(function: Any) -> Iterator[tuple[str, object]]:
    """Names of an enclosing function that `function` uses; with string annotations, types are often among them."""
    code = getattr(function, "__code__", None)
    for name, cell in zip(getattr(code, "co_freevars", ()), getattr(function, "__closure__", None) or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # the enclosing function has not assigned it yet
            continue


def _parsed(arguments: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(arguments, Mapping):
        return dict(arguments)
    try:
        value = json.loads(arguments)
    except ValueError as error:
        raise InvalidFunctionCallException(f"$: the arguments are not JSON: {error}") from error
    except RecursionError as error:
        raise InvalidFunctionCallException("$: the arguments are nested too deeply to be read.") from error
    if not isinstance(value, dict):
        raise InvalidFunctionCallException(
            f"$: arguments are an object with a value by name, not {type(value).__name__}."
        )
    return value


@lru_cache(maxsize=1)
def _validator_class() -> Any:
    """Draft 7, in which `nullable` lets None pass and `prefixItems` holds for the first items."""
    from jsonschema import Draft7Validator  # type: ignore[import-untyped, unused-ignore]
    from jsonschema.validators import extend  # type: ignore[import-untyped, unused-ignore]

    def unless_null(rule: Callable[..., Any]) -> Callable[..., Any]:
        def check(validator: Any, value: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
            if instance is not None or schema.get("nullable") is not True:
                yield from rule(validator, value, instance, schema) or ()

        return check

    def prefix_items(validator: Any, schemas: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
        if isinstance(instance, list) and isinstance(schemas, list):
            for i, (item, part) in enumerate(zip(instance, schemas, strict=False)):
                yield from validator.descend(item, part, path=i, schema_path=i)

    rules = Draft7Validator.VALIDATORS
    wrapped = {name: unless_null(rules[name]) for name in ("type", "enum", "const", "anyOf", "oneOf", "allOf")}
    return extend(Draft7Validator, {**wrapped, "prefixItems": prefix_items})
