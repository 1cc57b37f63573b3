"""Tool calls written as one JSON list (v2 to v7), read as the text grows, in time linear in its length.

The scanner only finds where things start and end; whether an object is JSON, `json.loads` says once it is whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from mistral_tok.chat.events import Fault

_SPACE = " \t\r\n"
_NOT_SPACE = re.compile(r"[^ \t\r\n]")
_IN_STRING = re.compile(r'["\\]')
_OUTSIDE = re.compile(r'["{}\[\],\s]')
_NESTED = re.compile(r'["{}\[\]]')

State = Literal[
    "start", "item", "comma", "key", "in_key", "colon", "value", "in_value", "after_value", "closed", "broken"
]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the scanner found.

    `begun`: the name (`text`) of a call. `arguments`: more of its arguments. `call`: the call is whole, `record` is its
    object and `text` its arguments. `spoilt`: text that is no call; `fault` says why, unless that was said before.
    """

    kind: Literal["begun", "arguments", "call", "spoilt"]
    text: str
    record: dict[str, Any] = field(default_factory=dict)
    fault: Fault | None = None


class CallScanner:
    """Feed it the text after `[TOOL_CALLS]`; it gives the steps that the new text completes."""

    def __init__(self) -> None:
        self.state: State = "start"
        self._opened = False  # a call has been announced and is not whole yet
        self._spoilt = False  # the last object was no call
        self._steps: list[Step] = []
        self._lead: list[str] = []  # text since the last whole call, up to the object
        self._clear()
        self._handlers: dict[State, Callable[[str, int], int]] = {
            "start": self._start,
            "item": self._item,
            "comma": self._comma,
            "key": self._key,
            "in_key": self._in_key,
            "colon": self._colon,
            "value": self._value,
            "in_value": self._in_value,
            "after_value": self._after_value,
            "closed": self._closed,
            "broken": self._broken,
        }

    def feed(self, text: str) -> list[Step]:
        """The steps that `text` completes."""
        i = 0
        while i < len(text):
            i = self._handlers[self.state](text, i)
        return self._taken()

    def finish(self) -> list[Step]:
        """What is left when no more text comes: nothing, if the list was closed."""
        if self.state in ("key", "in_key", "colon", "value", "in_value", "after_value"):
            self._spoil("arguments_cut_off" if self._seen else "calls_cut_off")
        elif self.state in ("start", "item", "comma"):
            lead = "".join(self._lead)
            self._lead.clear()
            self._spoil("calls_cut_off", "" if lead.strip(_SPACE) == "" and self.state == "comma" else lead)
        self.state = "broken"
        return self._taken()

    def _taken(self) -> list[Step]:
        steps, self._steps = self._steps, []
        return steps

    def _clear(self) -> None:
        """Forget the object that was read."""
        self._object: list[str] = []
        self._seen: set[str] = set()
        self._name: str | None = None
        self._key_text: list[str] = []
        self._key_name = ""
        self._part: list[str] = []  # the value being read
        self._arguments: list[str] = []
        self._held: list[str] = []  # arguments that came before the name
        self._fault: Fault | None = None
        self._depth = 0
        self._quoted = False
        self._escaped = False

    def _spoil(self, fault: Fault, text: str | None = None) -> None:
        """What was read since the last whole call is no call."""
        if text is None:
            text = "".join((*self._lead, *self._object))
            self._lead.clear()
        self._steps.append(Step("spoilt", text, fault=fault))
        self._opened = False
        self._clear()

    def _break(self, fault: Fault, text: str, i: int) -> int:
        """Nothing after this can be read as calls."""
        self._object.append(text[i:])
        self._spoil(fault)
        self.state = "broken"
        return len(text)

    # Between objects.

    def _skip(self, text: str, i: int, into: list[str]) -> int:
        """Pass over white space."""
        found = _NOT_SPACE.search(text, i)
        j = len(text) if found is None else found.start()
        if j > i:
            into.append(text[i:j])
        return j

    def _start(self, text: str, i: int) -> int:
        i = self._skip(text, i, self._lead)
        if i == len(text):
            return i
        if text[i] != "[":
            return self._break("calls_not_a_list", text, i)
        self._lead.append("[")
        self.state = "item"
        return i + 1

    def _item(self, text: str, i: int) -> int:
        i = self._skip(text, i, self._lead)
        if i == len(text):
            return i
        if text[i] == "{":
            self._object.append("{")
            self.state = "key"
        elif text[i] == "]" and "".join(self._lead).strip(_SPACE) == "[":
            self._lead.append("]")
            self._spoil("no_name")
            self.state = "closed"
        else:
            return self._break("calls_not_a_list", text, i)
        return i + 1

    def _comma(self, text: str, i: int) -> int:
        i = self._skip(text, i, self._lead)
        if i == len(text):
            return i
        if text[i] == ",":
            self._lead.append(",")
            self.state = "item"
        elif text[i] == "]":
            if self._spoilt:
                self._steps.append(Step("spoilt", "".join((*self._lead, "]"))))
            self._lead.clear()
            self.state = "closed"
        else:
            return self._break("calls_not_a_list", text, i)
        return i + 1

    def _closed(self, text: str, i: int) -> int:
        i = self._skip(text, i, self._lead)
        return i if i == len(text) else self._break("text_after_calls", text, i)

    def _broken(self, text: str, i: int) -> int:
        self._steps.append(Step("spoilt", text[i:]))
        return len(text)

    # Inside an object.

    def _key(self, text: str, i: int) -> int:
        i = self._skip(text, i, self._object)
        if i == len(text):
            return i
        if text[i] == "}":
            return self._object_end(i)
        if text[i] != '"':
            return self._break("arguments_not_json", text, i)
        self._object.append('"')
        self._key_text = ['"']
        self.state = "in_key"
        return i + 1

    def _in_key(self, text: str, i: int) -> int:
        j = self._string(text, i)
        self._object.append(text[i:j])
        self._key_text.append(text[i:j])
        if not self._quoted:
            self._key_name = _string_value("".join(self._key_text))
            if self._key_name in self._seen and self._key_name in ("name", "arguments", "id"):
                self._fault = "repeated_key"
            self._seen.add(self._key_name)
            self.state = "colon"
        return j

    def _string(self, text: str, i: int) -> int:
        """The place after the end of the string that is open at `i`, or the end of the text."""
        self._quoted = True
        while i < len(text):
            if self._escaped:
                self._escaped = False
                i += 1
                continue
            found = _IN_STRING.search(text, i)
            if found is None:
                return len(text)
            i = found.end()
            if found[0] == '"':
                self._quoted = False
                return i
            self._escaped = True
        return i

    def _colon(self, text: str, i: int) -> int:
        i = self._skip(text, i, self._object)
        if i == len(text):
            return i
        if text[i] != ":":
            return self._break("arguments_not_json", text, i)
        self._object.append(":")
        self.state = "value"
        return i + 1

    def _value(self, text: str, i: int) -> int:
        i = self._skip(text, i, self._object)
        if i < len(text):
            self._part = []
            self.state = "in_value"
        return i

    def _in_value(self, text: str, i: int) -> int:
        """Read on in a value; it ends where its brackets or quotes do, or a bare word before a delimiter."""
        start = i
        done = False
        while i < len(text) and not done:
            if self._quoted:
                i = self._string(text, i)
                done = not self._quoted and self._depth == 0
                continue
            found = (_NESTED if self._depth else _OUTSIDE).search(text, i)
            if found is None:
                i = len(text)
                break
            symbol = found[0]
            if symbol == '"':
                i, self._quoted = found.end(), True
            elif symbol in "{[":
                i, self._depth = found.end(), self._depth + 1
            elif self._depth:
                i, self._depth = found.end(), self._depth - 1
                done = self._depth == 0
            else:
                i, done = found.start(), True
        self._grow(text[start:i])
        if done:
            self._value_end()
        return i

    def _grow(self, piece: str) -> None:
        self._object.append(piece)
        self._part.append(piece)
        if self._key_name == "arguments" and self._fault is None and piece:
            self._arguments.append(piece)
            if self._opened:
                self._steps.append(Step("arguments", piece))
            else:
                self._held.append(piece)

    def _value_end(self) -> None:
        self.state = "after_value"
        if self._key_name != "name" or self._fault is not None:
            return
        self._name = _string_value("".join(self._part))
        if not self._name.strip():
            self._fault = "no_name"
            return
        self._opened = True
        self._steps.append(Step("begun", self._name))
        if self._held:
            self._steps.append(Step("arguments", "".join(self._held)))

    def _after_value(self, text: str, i: int) -> int:
        i = self._skip(text, i, self._object)
        if i == len(text):
            return i
        if text[i] == ",":
            self._object.append(",")
            self.state = "key"
        elif text[i] == "}":
            return self._object_end(i)
        else:
            return self._break("arguments_not_json", text, i)
        return i + 1

    def _object_end(self, i: int) -> int:
        self._object.append("}")
        self.state = "comma"
        fault, record = self._fault, _record("".join(self._object))
        if record is None:
            fault = "arguments_not_json"
        elif fault is None and self._name is None:
            fault = "no_name"
        elif fault is None and "arguments" not in self._seen:
            fault = "no_arguments"
        self._spoilt = fault is not None
        if fault is not None or record is None:
            self._spoil(fault or "arguments_not_json")
        else:
            self._steps.append(Step("call", "".join(self._arguments), record))
            self._opened = False
            self._lead.clear()
            self._clear()
        return i + 1


def _string_value(text: str) -> str:
    """The value of a JSON string; empty if it is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return ""
    return value if isinstance(value, str) else ""


def _record(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
