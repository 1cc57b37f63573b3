"""Native dicts (the fields of our own types) → records; keys that no field has are refused or listed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, cast

import msgspec

from mistral_tok.chat.base import refusal
from mistral_tok.chat.refusals import InvalidShapeException

T = TypeVar("T")


def unknown_keys(data: Any, record: Any, path: str = "$") -> Iterator[str]:
    """Paths of the keys of `data` that the record made from it does not hold."""
    if isinstance(record, list | tuple):
        for i, (part, item) in enumerate(zip(data, record, strict=False)):
            yield from unknown_keys(part, item, f"{path}[{i}]")
    elif isinstance(record, msgspec.Struct) and isinstance(data, Mapping):
        config = record.__struct_config__
        known = dict(zip(record.__struct_encode_fields__, record.__struct_fields__, strict=True))
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


def strictly(data: Any, kind: type[T]) -> T:
    """Convert `data` and refuse keys that no field has."""
    record = convert(data, kind)
    for path in unknown_keys(data, record):
        raise InvalidShapeException("unknown key; native requests allow only the fields of their type", path)
    return record


def filled(fields: dict[str, Any], kind: type[T], tools: str = "tools") -> T:
    """A request from keywords: dicts among its messages and tools become records, the others stay the same objects."""
    from mistral_tok.chat.calls import Tool
    from mistral_tok.chat.messages import ChatMessage, FinetuningMessage
    from mistral_tok.chat.openai import continued, truth

    fields = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
    given = {name: fields[name] for name in ("messages", tools) if isinstance(fields.get(name), list | tuple)}
    request: Any = strictly(fields | {name: [] for name in given}, kind)
    if "messages" in given:
        request.messages = [
            _part(m, ChatMessage, ChatMessage if isinstance(m, dict) else FinetuningMessage, f"$.messages[{i}]")
            for i, m in enumerate(given["messages"])
        ]
    if tools in given:
        setattr(request, tools, [_part(t, Tool, Tool, f"$.{tools}[{i}]") for i, t in enumerate(given[tools])])
    if fields.get("continue_final_message") is not None:
        flag = truth(request.continue_final_message, "$.continue_final_message")
        request.messages = continued(request.messages, flag)
        request.continue_final_message = msgspec.UNSET
    return cast("T", request)


def _part(value: Any, own: Any, kind: Any, path: str) -> Any:
    """A record of a request, made of a dict or an object where it is none of our `own` yet."""
    if isinstance(value, own):
        return value
    try:
        return strictly(value, kind)
    except InvalidShapeException as error:
        raise type(error)(error.reason, error.path.replace("$", path, 1)) from None
