"""Tools and tool calls."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any, Literal

from mistral_tok.chat.base import Base, Wire
from mistral_tok.chat.refusals import InvalidShapeException


class ToolTypes(StrEnum):
    """Kinds of tools; there is one."""

    function = "function"


class ToolChoiceEnum(StrEnum):
    """How the model chooses among the tools; `any` is the older name of `required`."""

    auto = "auto"
    none = "none"
    any = "any"
    required = "required"


class FunctionName(Base, kw_only=True):
    """A function by its name alone."""

    name: str


class NamedToolChoice(Base, kw_only=True):
    """The model must call this function."""

    function: FunctionName
    type: Literal["function"] = "function"


ToolChoice = Literal["auto", "none", "any", "required"] | NamedToolChoice


class Function(Wire, kw_only=True):
    """A function that the model may call: name, description, JSON schema of its parameters."""

    name: str
    parameters: dict[str, Any]
    description: str = ""
    strict: bool = False


class Tool(Wire, kw_only=True):
    """A tool of a request.

    >>> Tool(function=Function(name="now", parameters={})).function.name
    'now'
    """

    function: Function
    type: Literal["function"] = "function"

    def to_openai(self) -> dict[str, Any]:
        """The tool as OpenAI's clients write it."""
        f = self.function
        fields = {"name": f.name, "description": f.description, "parameters": f.parameters, "strict": f.strict}
        return {"type": "function", "function": fields}


class FunctionCall(Base, kw_only=True):
    """The name and the arguments of a call. Arguments given as a dict are kept as JSON text, None as `{}`."""

    name: str
    arguments: Any

    def __post_init__(self) -> None:
        arguments = self.arguments
        if type(arguments) is not str:
            self.arguments = _arguments_text(arguments)


def _arguments_text(arguments: Any) -> str:
    if arguments is None:
        return "{}"
    if isinstance(arguments, dict):
        try:
            return json.dumps(arguments)
        except RecursionError:
            raise InvalidShapeException("`arguments` is nested too deeply") from None
        except (TypeError, ValueError) as error:
            raise InvalidShapeException(f"`arguments` cannot be written as JSON: {error}") from None
    if isinstance(arguments, str):
        return str(arguments)
    raise InvalidShapeException(f"`arguments` must be JSON text, an object or null, got {type(arguments).__name__}")


class ToolCall(Wire, kw_only=True):
    """A call that the assistant made; `id` is `"null"` where none is known."""

    function: FunctionCall
    id: str = "null"
    type: Literal["function"] = "function"

    def to_openai(self) -> dict[str, Any]:
        """The call as OpenAI's clients write it."""
        call = {"name": self.function.name, "arguments": self.function.arguments}
        return {"id": self.id, "type": "function", "function": call}
