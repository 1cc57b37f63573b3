"""Tool lists → their JSON segment; checked and encoded once, for they come again with every request.

In tools as they arrive in OpenAI's format, description and parameters may be None.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Sequence
from threading import Lock

from mistral_tok.chat import jsontext
from mistral_tok.chat.calls import Tool
from mistral_tok.chat.draft7 import problem
from mistral_tok.chat.segments import Segment
from mistral_tok.chat.validate import NAME, NAME_RULE
from mistral_tok.errors import InvalidToolException, InvalidToolSchemaException

KEPT = 256
"""Tool lists remembered by one tokenizer; the oldest is forgotten first."""


class ToolBlocks:
    """Checks and encodes tool lists; safe from any number of threads."""

    def __init__(self, encode: Callable[[str], list[int]]) -> None:
        self._encode = encode
        self._known: dict[bytes, Segment] = {}
        self._lock = Lock()

    def segment(self, tools: Sequence[Tool]) -> Segment:
        """The segment of a non-empty tool list.

        Raises:
            InvalidToolSchemaException: parameters are not a JSON schema of draft 7.
            InvalidToolException: a name is not valid.

        """
        key = _key(tools)
        if key is None:
            return self._make(tools)
        known = self._known.get(key)
        if known is None:
            known = self._make(tools)
            with self._lock:
                if len(self._known) >= KEPT:
                    del self._known[next(iter(self._known))]
                self._known[key] = known
        return known

    def _make(self, tools: Sequence[Tool]) -> Segment:
        check_tools(tools)
        text = tools_text(tools)
        return Segment(text, "tools", None, self._encode(text))


def _key(tools: Sequence[Tool]) -> bytes | None:
    """Bytes that differ for lists that are written differently; None where values are not plain data."""
    functions = [tool.function for tool in tools]
    try:
        return marshal.dumps([(f.name, f.description or "", f.parameters or {}) for f in functions], 2)
    except ValueError:
        return None


def tools_text(tools: Sequence[Tool]) -> str:
    """The JSON text of a tool list, keys in the order that the models have seen."""
    return jsontext.dump(
        [
            {
                "type": "function",
                "function": {
                    "name": tool.function.name,
                    "description": tool.function.description or "",
                    "parameters": tool.function.parameters or {},
                },
            }
            for tool in tools
        ]
    )


def check_tools(tools: Sequence[Tool]) -> None:
    """Check schemas and names in order."""
    for i, tool in enumerate(tools):
        f = tool.function
        if reason := problem(f.parameters or {}):
            raise InvalidToolSchemaException(f"Invalid tool schema: {reason} (at $.tools[{i}].function.parameters).")
        if not NAME.fullmatch(f.name):
            raise InvalidToolException(
                f"Function name was {f.name!r}, but {NAME_RULE} (at $.tools[{i}].function.name)."
            )
