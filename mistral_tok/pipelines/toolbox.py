"""Tools of a call: the arguments of calls held against their schemas, and Python functions run."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any

from mistral_tok.chat.convert import accept_tools
from mistral_tok.chat.events import CallComplete, CallResult, Fault
from mistral_tok.chat.tools import python_arguments, validate_arguments
from mistral_tok.errors import InvalidFunctionCallException, InvalidToolException


class Toolbox:
    """Functions or JSON schemas by name.

    Raises InvalidToolException or InvalidToolSchemaException for what is no tool, and for a name that is there twice.
    """

    def __init__(self, tools: Sequence[Any] | None) -> None:
        self.given = list(tools) if tools else None
        """The tools as they came, for the encoder."""
        self._schemas: dict[str, dict[str, Any]] = {}
        self._functions: dict[str, Callable[..., Any]] = {}
        for tool, given in zip(accept_tools(tools) if tools else (), tools or (), strict=True):
            name = tool.function.name
            if name in self._schemas:
                raise InvalidToolException(f"Two tools are called {name!r}; rename one of them.")
            _check_schema(tool.function.parameters)
            self._schemas[name] = tool.function.parameters
            if callable(given):
                if inspect.iscoroutinefunction(given):
                    raise InvalidToolException(f"{name} is a coroutine function; wrap it in one that waits for it.")
                self._functions[name] = given

    def fault(self, call: CallComplete) -> tuple[Fault, str] | None:
        """What is wrong with a call, or None."""
        if self.given is None:
            return None
        if call.name not in self._schemas:
            known = ", ".join(self._schemas)
            return "unknown_tool", f"There is no tool {call.name!r}; there are: {known}."
        try:
            validate_arguments(self._schemas[call.name], call.arguments)
        except InvalidFunctionCallException as error:
            return "arguments_invalid", f"The arguments of {call.name!r} do not fit its schema: {error.message}"
        return None

    def can_answer(self, calls: Sequence[CallComplete]) -> bool:
        """Whether every call can be run here, or be told what is wrong with it."""
        return all(call.name in self._functions or self.fault(call) is not None for call in calls)

    def run(self, call: CallComplete) -> CallResult:
        """Call the function. What it raises, and what is wrong with the call, is a result, which the model may mend."""
        fault = self.fault(call)
        if fault is not None:
            return _result(call, fault[1], failed=True)
        try:
            function = self._functions[call.name]
            arguments = validate_arguments(self._schemas[call.name], call.arguments)
            positional, named = python_arguments(function, arguments)
            return _result(call, function(*positional, **named))
        except (Exception, SystemExit) as error:
            return _result(call, _described(error), failed=True)


def _described(error: BaseException) -> str:
    """An exception in words, even if its own cannot be had."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception:
        return name


def _result(call: CallComplete, value: Any, failed: bool = False) -> CallResult:
    """A text as it is, anything else as JSON; what is no character (as in odd file names) is written as its escape."""
    value = {"error": value} if failed else value
    content = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    content = content.encode("utf-8", "backslashreplace").decode("utf-8")
    return CallResult(index=call.index, name=call.name, id=call.id, content=content, failed=failed)


def _check_schema(schema: dict[str, Any]) -> None:
    try:
        validate_arguments(schema, {})
    except InvalidFunctionCallException:
        return  # the schema is a schema; that it wants arguments is no fault
