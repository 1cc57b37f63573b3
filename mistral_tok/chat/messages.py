"""Messages: the turns of a conversation, told apart by `role`."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar, Literal

from mistral_tok.chat.base import Wire
from mistral_tok.chat.calls import ToolCall
from mistral_tok.chat.chunks import (
    AssistantChunk,
    AudioChunk,
    AudioURLChunk,
    ImageChunk,
    ImageURLChunk,
    SystemChunk,
    TextChunk,
    ThinkChunk,
)
from mistral_tok.errors import InvalidAssistantMessageException


class Roles(StrEnum):
    """Values of a message's `role`."""

    system = "system"
    user = "user"
    assistant = "assistant"
    tool = "tool"


class ReasoningFieldFormat(StrEnum):
    """Where `to_openai` writes what the assistant thought."""

    thinking_chunks = "thinking_chunks"
    reasoning = "reasoning"
    reasoning_content = "reasoning_content"


def _content(content: Any) -> Any:
    return content if content is None or isinstance(content, str) else [chunk.to_openai() for chunk in content]


class SystemMessage(Wire, kw_only=True, tag_field="role", tag="system"):
    """Instructions that stand above the conversation."""

    role: ClassVar[Literal["system"]] = "system"
    content: str | list[TextChunk | AudioChunk | ThinkChunk]

    def to_openai(self) -> dict[str, Any]:
        """The message as OpenAI's clients write it."""
        return {"role": "system", "content": _content(self.content)}


class UserMessage(Wire, kw_only=True, tag_field="role", tag="user"):
    """What the user says: text, or chunks of text, images and audio.

    >>> UserMessage(content="Hi").role
    'user'
    """

    role: ClassVar[Literal["user"]] = "user"
    content: str | list[TextChunk | ImageChunk | ImageURLChunk | AudioChunk | AudioURLChunk]

    def to_openai(self) -> dict[str, Any]:
        """The message as OpenAI's clients write it."""
        return {"role": "user", "content": _content(self.content)}


class AssistantMessage(Wire, kw_only=True, tag_field="role", tag="assistant"):
    """What the assistant answered: text, thoughts, tool calls. `prefix` marks a last message that it is to continue."""

    role: ClassVar[Literal["assistant"]] = "assistant"
    weight: ClassVar[float | None] = None
    content: str | list[TextChunk | ThinkChunk] | None = None
    tool_calls: list[ToolCall] | None = None
    prefix: bool = False

    def to_openai(self, reasoning_field_format: ReasoningFieldFormat | str | None = None) -> dict[str, Any]:
        """The message as OpenAI's clients write it; thoughts stay chunks or go to the named field.

        Raises:
            InvalidAssistantMessageException: a thought stands after other content.

        """
        out: dict[str, Any] = {"role": "assistant"}
        if self.tool_calls is not None:
            out["tool_calls"] = [call.to_openai() for call in self.tool_calls]
        if self.content is None or isinstance(self.content, str):
            return out if self.content is None else {**out, "content": self.content}
        thoughts = _leading_thoughts(self.content)
        rest = self.content[len(thoughts) :]
        where = ReasoningFieldFormat(reasoning_field_format or "thinking_chunks")
        if where is ReasoningFieldFormat.thinking_chunks:
            out["content"] = _content(self.content)
            return out
        if thoughts:
            out[where.value] = "\n".join(chunk.thinking for chunk in thoughts)
        if len(rest) == 1 and isinstance(rest[0], TextChunk):
            out["content"] = rest[0].text
        elif rest:
            out["content"] = _content(rest)
        return out


def _leading_thoughts(content: list[AssistantChunk]) -> list[ThinkChunk]:
    count = 0
    for i, chunk in enumerate(content):
        if isinstance(chunk, ThinkChunk):
            if i != count:
                raise InvalidAssistantMessageException("Thinking must stand before all other content of a message.")
            count += 1
    return [chunk for chunk in content[:count] if isinstance(chunk, ThinkChunk)]


class FinetuningAssistantMessage(AssistantMessage, kw_only=True, tag_field="role", tag="assistant"):
    """An assistant message of training data; `weight` 0 excludes it from what is learnt."""

    weight: float | None = None  # type: ignore[misc]


class ToolMessage(Wire, kw_only=True, tag_field="role", tag="tool"):
    """The result of a tool call."""

    role: ClassVar[Literal["tool"]] = "tool"
    content: str | list[TextChunk | ImageChunk | ImageURLChunk | AudioChunk | AudioURLChunk]
    tool_call_id: str | None = None
    name: str | None = None

    def to_openai(self) -> dict[str, Any]:
        """The message as OpenAI's clients write it.

        Raises:
            InvalidToolMessageException: the message has no call id.

        """
        if self.tool_call_id is None:
            from mistral_tok.errors import InvalidToolMessageException

            raise InvalidToolMessageException("OpenAI's format needs `tool_call_id` in a tool message.")
        return {"role": "tool", "tool_call_id": self.tool_call_id, "content": _content(self.content)}


ChatMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage
FinetuningMessage = SystemMessage | UserMessage | FinetuningAssistantMessage | ToolMessage
UATS = ChatMessage

__all__ = [
    "UATS",
    "AssistantMessage",
    "ChatMessage",
    "FinetuningAssistantMessage",
    "FinetuningMessage",
    "ReasoningFieldFormat",
    "Roles",
    "SystemChunk",
    "SystemMessage",
    "ToolMessage",
    "UserMessage",
]
