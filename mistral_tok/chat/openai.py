"""OpenAI's chat format ⇄ our requests: what servers receive and what clients send."""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar, Literal, TypeVar, cast

import msgspec
from msgspec import UNSET

from mistral_tok.chat.base import Base
from mistral_tok.chat.calls import Function, Tool, ToolChoice
from mistral_tok.chat.chunks import AudioChunk, AudioURLChunk, ImageURLChunk, TextChunk, ThinkChunk
from mistral_tok.chat.messages import (
    AssistantMessage,
    FinetuningAssistantMessage,
    ReasoningFieldFormat,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from mistral_tok.chat.refusals import InvalidShapeException
from mistral_tok.chat.requests import ChatCompletionRequest, ChatFields, Count, ResponseFormat
from mistral_tok.chat.strict import convert
from mistral_tok.errors import InvalidAssistantMessageException, InvalidMessageStructureException

R = TypeVar("R", bound=Base)


class OpenAIUser(UserMessage, kw_only=True, tag_field="role", tag="user"):
    """A user message as it arrives (no `image` chunks: that type is not OpenAI's)."""

    checked: ClassVar[bool] = False
    content: str | list[TextChunk | ImageURLChunk | AudioChunk | AudioURLChunk]  # type: ignore[assignment]


class OpenAIDeveloper(SystemMessage, kw_only=True, tag_field="role", tag="developer"):
    """OpenAI's later name of the system role."""

    checked: ClassVar[bool] = False


class OpenAIAssistant(AssistantMessage, kw_only=True, tag_field="role", tag="assistant"):
    """An assistant message as it arrives: thoughts may stand in a field of their own, and `prefix` is not read."""

    checked: ClassVar[bool] = False
    prefix: bool = msgspec.field(default=False, name="(not read)")
    reasoning: str | None = None
    reasoning_content: str | None = None
    given_weight: Any = msgspec.field(default=None, name="weight")


class OpenAITool(ToolMessage, kw_only=True, tag_field="role", tag="tool"):
    """A tool result as it arrives; the id must be there but may be null."""

    checked: ClassVar[bool] = False
    content: str | list[TextChunk | ImageURLChunk | AudioChunk | AudioURLChunk]  # type: ignore[assignment]
    tool_call_id: str | None


class OpenAIFunction(msgspec.Struct, gc=False):
    """A function as it arrives: everything but the name may be null."""

    name: str
    parameters: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class OpenAIToolSpec(msgspec.Struct, gc=False):
    """A tool as it arrives."""

    function: OpenAIFunction
    type: Literal["function"] = "function"


class OpenAIRequest(ChatFields, kw_only=True):
    """A whole request as it arrives; `public` makes it a request like any other."""

    checked: ClassVar[bool] = False
    messages: list[OpenAIUser | SystemMessage | OpenAIDeveloper | OpenAIAssistant | OpenAITool]  # type: ignore[assignment]
    tools: list[OpenAIToolSpec] | None = None  # type: ignore[assignment]
    parallel_tool_calls: bool | None = True  # type: ignore[assignment]
    seed: Count | None = None
    continue_final_message: Any = False


Message = OpenAIUser | SystemMessage | OpenAIDeveloper | OpenAIAssistant | OpenAITool


def whole(request: dict[str, Any], weights: bool = False) -> OpenAIRequest:
    """The request that a dict in OpenAI's format stands for; messages that need no change are as they arrived."""
    if "seed" in request and request["seed"] is not None and request.get("random_seed") is not None:
        raise InvalidShapeException("`seed` and `random_seed` are the same thing; give one", "$.seed")
    try:
        wire = msgspec.convert(request, OpenAIRequest)
    except (msgspec.ValidationError, UnicodeEncodeError):
        wire = _unusual(request)
    messages: list[Any] = wire.messages
    for i, m in enumerate(messages):
        kind = type(m)
        if kind is OpenAIAssistant:
            if m.reasoning is not None or m.reasoning_content is not None or m.given_weight is not None:
                messages[i] = _assistant(m, f"$.messages[{i}]", weights)
        elif kind is OpenAIDeveloper:
            messages[i] = _public(m)
    if wire.continue_final_message is not False:
        wire.messages = continued(messages, truth(wire.continue_final_message, "$.continue_final_message"))
    if wire.seed is not None:
        wire.random_seed = wire.seed
    return wire


def _unusual(request: dict[str, Any]) -> OpenAIRequest:
    """A request that is not all plain dicts and strings, or not valid."""
    try:
        return convert(request, OpenAIRequest)
    except InvalidShapeException as error:
        _refuse_earlier_conflict(request, error)
        raise


def public(request: ChatFields) -> ChatCompletionRequest:
    """The same request, made of the types that users know."""
    if isinstance(request, ChatCompletionRequest):
        return request
    found = {name: getattr(request, name) for name in ChatCompletionRequest.__struct_fields__}
    found["messages"] = [_public(m) for m in request.messages]
    if request.tools is not None:
        found["tools"] = [_tool(t) if isinstance(t, OpenAIToolSpec) else t for t in request.tools]
    found["parallel_tool_calls"] = request.parallel_tool_calls is not False
    return ChatCompletionRequest(**found | {"continue_final_message": UNSET})


def _public(m: Any) -> Any:
    """A message of a type of our own."""
    if isinstance(m, OpenAIUser):
        return UserMessage(content=m.content)  # type: ignore[arg-type]
    if isinstance(m, OpenAITool):
        return ToolMessage(content=m.content, tool_call_id=m.tool_call_id, name=m.name)  # type: ignore[arg-type]
    if isinstance(m, OpenAIAssistant):
        return AssistantMessage(content=m.content, tool_calls=m.tool_calls, prefix=m.prefix)
    return SystemMessage(content=m.content) if isinstance(m, OpenAIDeveloper) else m


def _assistant(m: OpenAIAssistant, path: str, weights: bool) -> AssistantMessage:
    content = m.content
    if m.reasoning is not None or m.reasoning_content is not None:
        content = _with_thoughts(m, path)
    if weights and m.given_weight is not None:
        if not isinstance(m.given_weight, int | float):
            raise InvalidShapeException("`weight` must be 0 or 1", f"{path}.weight")
        return FinetuningAssistantMessage(content=content, tool_calls=m.tool_calls, weight=m.given_weight)
    return AssistantMessage(content=content, tool_calls=m.tool_calls)


def _with_thoughts(m: OpenAIAssistant, path: str) -> list[TextChunk | ThinkChunk]:
    if None not in (m.reasoning, m.reasoning_content) and m.reasoning != m.reasoning_content:
        raise InvalidShapeException("`reasoning_content` and `reasoning` differ; give one", f"{path}.reasoning")
    thought = ThinkChunk(thinking=(m.reasoning if m.reasoning is not None else m.reasoning_content) or "")
    if m.content is None:
        return [thought]
    if isinstance(m.content, str):
        return [thought, TextChunk(text=m.content)]
    if any(isinstance(chunk, ThinkChunk) for chunk in m.content):
        raise InvalidAssistantMessageException(
            f"A message cannot have thinking chunks and a field `reasoning` or `reasoning_content` (at {path})."
        )
    return [thought, *m.content]


def message(data: Any, index: int, weights: bool) -> Any:
    """One message in OpenAI's format."""
    try:
        m: Any = convert(data, cast(Any, Message))
        return _assistant(m, "$", weights) if isinstance(m, OpenAIAssistant) else _public(m)
    except InvalidShapeException as error:
        raise type(error)(error.reason, error.path.replace("$", f"$.messages[{index}]", 1)) from None


def tool(data: Any, path: str) -> Tool:
    """One tool in OpenAI's format."""
    try:
        return _tool(convert(data, OpenAIToolSpec))
    except InvalidShapeException as error:
        raise type(error)(error.reason, error.path.replace("$", path, 1)) from None


def single(kind: type[R], data: Any) -> R:
    """One message, chunk, tool, function or call of type `kind` from its dict in OpenAI's format."""
    from mistral_tok.chat.chunks import ImageChunk

    found: Any
    if issubclass(kind, SystemMessage | UserMessage | AssistantMessage | ToolMessage):
        m: Any = convert(data, cast(Any, Message))
        weights = issubclass(kind, FinetuningAssistantMessage)
        found = _assistant(m, "$", weights) if isinstance(m, OpenAIAssistant) else _public(m)
        if weights and type(found) is AssistantMessage:
            found = FinetuningAssistantMessage(content=found.content, tool_calls=found.tool_calls)
    elif kind is Tool:
        found = _tool(convert(data, OpenAIToolSpec))
    elif kind is Function:
        found = _tool(OpenAIToolSpec(function=convert(data, OpenAIFunction))).function
    elif kind is ImageChunk:
        found = ImageChunk(image=convert(data, ImageURLChunk).get_url())
    else:
        found = convert(data, kind)
    if not isinstance(found, kind):
        raise InvalidShapeException(f"expected the role of a {kind.__name__}, got {found.role!r}", "$.role")
    return found


def parse_json(text: bytes | bytearray | str) -> Any:
    """The value of a request that came as JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidShapeException(f"the request is not JSON that can be read: {error}", "$") from None


def _refuse_earlier_conflict(request: dict[str, Any], error: InvalidShapeException) -> None:
    """Raise what is wrong with the thoughts of a message before the one that has the wrong shape, as it comes first."""
    place = re.match(r"\$\.messages\[(\d+)\]", error.path)
    messages = request.get("messages")
    if place is None or not isinstance(messages, list):
        return
    known_chunk = error.reason.removeprefix("Invalid value ") in ("'input_audio'", "'audio_url'", "'image_url'")
    for i, data in enumerate(messages[: int(place[1]) + known_chunk]):
        content = data.get("content")
        fields = (data.get("reasoning"), data.get("reasoning_content"))
        if data.get("role") == "assistant" and fields != (None, None) and isinstance(content, list):
            thoughts: list[TextChunk | ThinkChunk] = []
            thoughts += [ThinkChunk(thinking="") for chunk in content if chunk.get("type") == "thinking"]
            _with_thoughts(OpenAIAssistant(content=thoughts, reasoning=""), f"$.messages[{i}]")


def _tool(t: OpenAIToolSpec) -> Tool:
    f = t.function
    return Tool(
        function=Function(
            name=f.name,
            parameters={} if f.parameters is None else f.parameters,
            description=f.description or "",
            strict=bool(f.strict),
        )
    )


def truth(value: Any, path: str) -> bool:
    """The truth value of a flag that may have come as text, by the rules that pydantic made usual."""
    if isinstance(value, bool):
        return value
    plain = value.lower() if isinstance(value, str) else value
    if plain in (1, "1", "true", "t", "yes", "y", "on"):
        return True
    if plain in (0, "0", "false", "f", "no", "n", "off") and plain is not None:
        return False
    raise InvalidShapeException(f"expected a truth value, got {value!r}", path)


def continued(messages: list[Any], flag: bool) -> list[Any]:
    """The messages with the last one marked to be continued, if `flag`.

    Raises:
        InvalidMessageStructureException: there is no last assistant message.

    """
    if not flag:
        return messages
    if not messages or not isinstance(messages[-1], AssistantMessage):
        raise InvalidMessageStructureException(
            "continue_final_message=True requires the final message to be an assistant message."
        )
    return [*messages[:-1], messages[-1].model_copy(update={"prefix": True})]


def from_openai(messages: Any, tools: Any, continue_final: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of the request that OpenAI-style arguments stand for."""
    if isinstance(messages, bytes | bytearray | str):
        messages = parse_json(messages)
    data = {**messages, **fields} if isinstance(messages, dict) else {"messages": messages, **fields}
    if tools is not None:
        data["tools"] = tools
    if continue_final is not False:
        data["continue_final_message"] = continue_final
    built = public(whole(data))
    return {name: getattr(built, name) for name in built.__struct_fields__}


def to_openai(
    request: ChatCompletionRequest, reasoning: ReasoningFieldFormat | str | None, extra: dict[str, Any]
) -> dict[str, Any]:
    """The request in OpenAI's format, keys in the order that mistral-common writes."""
    if request.truncate_for_context_length:
        raise NotImplementedError("OpenAI's format has no truncate_for_context_length; unset it and truncate yourself.")
    last = request.messages[-1] if request.messages else None
    out: dict[str, Any] = {"temperature": request.temperature, "top_p": request.top_p}
    optional = {"max_tokens": request.max_tokens, "model": request.model}
    out |= {key: value for key, value in optional.items() if value is not None}
    out["response_format"] = _response_format(request.response_format)
    if request.random_seed is not None:
        out["seed"] = request.random_seed
    out["continue_final_message"] = isinstance(last, AssistantMessage) and last.prefix
    if request.reasoning_effort is not None:
        out["reasoning_effort"] = request.reasoning_effort
    for key in extra:
        if key in out or key in request.__struct_fields__:
            raise ValueError(f"`{key}` is a field of the request already; change it there.")
    out["messages"] = [
        m.to_openai(reasoning) if isinstance(m, AssistantMessage) else m.to_openai() for m in request.messages
    ]
    if request.tools is not None:
        out["tools"] = [tool.to_openai() for tool in request.tools]
    if request.tools:
        out["parallel_tool_calls"] = request.parallel_tool_calls
    out["tool_choice"] = _tool_choice(request.tool_choice)
    return out | extra


def _response_format(form: ResponseFormat) -> dict[str, Any]:
    out: dict[str, Any] = {"type": form.type}
    if form.json_schema is not None:
        out["json_schema"] = form.json_schema.model_dump(exclude_none=True)
    return out


def _tool_choice(choice: ToolChoice) -> Any:
    if isinstance(choice, str):
        return "required" if choice == "any" else str(choice)
    return {"type": "function", "function": {"name": choice.function.name}}
