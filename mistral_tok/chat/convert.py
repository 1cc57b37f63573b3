"""Whatever a caller hands over → a request of our own: dicts, JSON, our types, mistral-common's objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from mistral_tok.chat import openai
from mistral_tok.chat.calls import Tool
from mistral_tok.chat.chunks import ImageChunk
from mistral_tok.chat.messages import FinetuningAssistantMessage, SystemMessage, ToolMessage, UserMessage
from mistral_tok.chat.refusals import InvalidShapeException
from mistral_tok.chat.requests import ChatFields
from mistral_tok.chat.strict import plain, pydantic_fields, refusal

HELD = "\0object"
"""Key under which an object that is no data (a PIL image) travels through the conversion."""


class Native(ChatFields, kw_only=True):
    """A request made of objects; `openai.public` makes it a request like any other."""

    checked: ClassVar[bool] = False
    messages: list[SystemMessage | UserMessage | FinetuningAssistantMessage | ToolMessage]  # type: ignore[assignment]


def accept(request: Any, tools: Any = None, weights: bool = False) -> ChatFields:
    """A private, checked copy of a request; dicts are read as OpenAI's format, objects as what they are.

    `weights` reads the key `weight` of assistant messages, which training data has.

    Raises:
        InvalidShapeException: with the path of what has the wrong shape.

    """
    accepted = openai.whole(request, weights) if type(request) is dict else _accepted(request, weights)
    if tools is not None:
        accepted.tools = accept_tools(tools)
    return accepted


def _accepted(request: Any, weights: bool) -> ChatFields:
    if isinstance(request, bytes | bytearray | str):
        request = openai.parse_json(request)
    if isinstance(request, Mapping):
        return openai.whole(request if isinstance(request, dict) else plain(request), weights)
    if isinstance(request, Sequence):
        if all(isinstance(m, dict) for m in request):
            return openai.whole({"messages": request}, weights)
        return _from_messages(request, weights)
    return _native(request)


def accept_tools(tools: Any) -> list[Tool]:
    """Tools given as dicts in OpenAI's format, as objects, or as Python functions."""
    if not isinstance(tools, Sequence) or isinstance(tools, str | bytes):
        raise InvalidShapeException("expected a list of tools", "$.tools")
    return [_accept_tool(tool, f"$.tools[{i}]") for i, tool in enumerate(tools)]


def _accept_tool(tool: Any, path: str) -> Tool:
    if isinstance(tool, Mapping):
        return openai.tool(tool, path)
    if callable(tool):
        from mistral_tok.chat.tools import tool_from_callable

        return openai.tool(tool_from_callable(tool), path)
    found = _checked({"messages": [], "tools": [tool]}).tools
    return found[0] if found else openai.tool(tool, path)


def _from_messages(messages: Sequence[Any], weights: bool) -> ChatFields:
    """Objects, or objects and dicts mixed."""
    native = [openai.message(m, i, weights) if isinstance(m, Mapping) else m for i, m in enumerate(messages)]
    return _checked({"messages": native})


def _native(request: Any) -> ChatFields:
    if not hasattr(request, "messages"):
        raise InvalidShapeException(
            f"expected a ChatCompletionRequest, a dict, JSON or a list of messages, got {type(request).__name__}",
            "$",
        )
    return _checked(request)


def _checked(request: Any) -> ChatFields:
    """Take objects apart to plain data and build them again, every type checked on the way."""
    held: list[Any] = []

    def take_apart(value: Any) -> Any:
        fields = pydantic_fields(value)
        if fields is not None:
            return fields
        held.append(value)
        return {HELD: len(held) - 1}

    try:
        data = msgspec.to_builtins(request, builtin_types=(bytes, bytearray), enc_hook=take_apart)
        native = msgspec.convert(data, Native)
    except msgspec.ValidationError as error:
        raise refusal(error) from None
    except RecursionError:
        raise InvalidShapeException("it is nested too deeply", "$") from None
    if held:
        _restore(native, held)
    return native


def _restore(native: Native, held: list[Any]) -> None:
    """Put images back; any other object had no place in the request."""
    left = len(held)
    for m in native.messages:
        for chunk in m.content if isinstance(m.content, list) else ():
            if isinstance(chunk, ImageChunk) and isinstance(chunk.image, dict) and HELD in chunk.image:
                chunk.image = held[chunk.image[HELD]]
                left -= 1
    if left:
        kinds = sorted({type(value).__name__ for value in held})
        raise InvalidShapeException(f"objects of these types are no part of a request: {kinds}")
