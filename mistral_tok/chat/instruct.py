"""Requests that are normalised already: mistral-common's inner form, written as it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from msgspec import field

from mistral_tok.chat import jsontext
from mistral_tok.chat.base import Base
from mistral_tok.chat.calls import Tool
from mistral_tok.chat.draft7 import problem
from mistral_tok.chat.formats import Format
from mistral_tok.chat.messages import AssistantMessage, SystemMessage, ToolMessage, UserMessage
from mistral_tok.chat.normalise import Conversation, Source, Text, as_they_stand
from mistral_tok.chat.requests import Effort, filled
from mistral_tok.chat.segments import Segment
from mistral_tok.errors import InvalidRequestException, TokenizerException


class ModelSettings(Base, kw_only=True):
    """What a v15 model is told about its answer."""

    reasoning_effort: Effort | None = None
    json_schema: dict[str, Any] | None = None

    @staticmethod
    def none() -> ModelSettings:
        """No settings."""
        return ModelSettings()


class InstructRequest(Base, kw_only=True):
    """Messages that are neither checked nor merged: each is written as it stands.

    `ChatCompletionRequest` is what applications want. `system_prompt` is for versions that write it into a user
    message, v1 to v3; later ones have system messages.
    """

    messages: list[SystemMessage | UserMessage | AssistantMessage | ToolMessage]
    system_prompt: str | None = None
    available_tools: list[Tool] | None = None
    truncate_at_max_tokens: int | None = None
    settings: ModelSettings = field(default_factory=ModelSettings)

    def __class_getitem__(cls, item: Any) -> type[Self]:
        """`InstructRequest[…]` is the class itself: the message types need not be named."""
        return cls

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """What the constructor does with its keywords; messages and tools that are records already stay the same."""
        return filled(fields, cls, "available_tools")


def conversation_of(
    request: InstructRequest,
    row: Format,
    tools: Callable[[list[Tool]], Segment],
    builder: Mapping[str, Any] | None,
    encode: Callable[[str], list[int]],
) -> Conversation:
    """The conversation that the layout writes.

    Raises:
        TokenizerException: there are no messages, or system messages where the version has none.
        InvalidRequestException: the vocabulary does not know the settings.

    """
    if not request.messages:
        raise TokenizerException("An InstructRequest needs at least one message.")
    if row.system != "in place" and any(m.role == "system" for m in request.messages):
        raise TokenizerException(f"{row.version} has no system messages; use system_prompt.")
    prompt = request.system_prompt
    system = None
    if prompt and row.system != "in place":
        system = Text(prompt, (Source(0, len(prompt), None, None, 0, "text", "system"),))
    found = as_they_stand(request.messages, system, row)
    if request.available_tools:
        found.tools = tools(request.available_tools)
    if row.settings and (text := _settings_text(request.settings, builder)):
        found.settings = Segment(text, "settings", None, encode(text))
    return found


def _settings_text(settings: ModelSettings, builder: Mapping[str, Any] | None) -> str | None:
    if builder is None:
        raise TokenizerException("This v15 vocabulary does not say which settings its model knows.")
    given = {"json_schema": settings.json_schema, "reasoning_effort": settings.reasoning_effort}
    for name, value in given.items():
        if value is not None and name not in builder:
            raise InvalidRequestException(f"{name} is no setting of this model; it knows {sorted(builder)}.")
    efforts = builder.get("reasoning_effort")
    if efforts is not None and settings.reasoning_effort not in efforts["values"]:
        raise InvalidRequestException(
            f"reasoning_effort should be one of {list(efforts['values'])}, got {settings.reasoning_effort}."
        )
    if settings.json_schema is not None and (reason := problem(settings.json_schema)):
        raise InvalidRequestException(f"json_schema is not a valid JSON schema: {reason}")
    known = {name: value for name, value in given.items() if value is not None}
    return jsontext.dump(known) if known else None
