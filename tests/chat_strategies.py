"""Conversations for property tests: mostly valid, with every kind of part, and now and then with one thing wrong."""

from __future__ import annotations

import json
import random
from typing import Any

TEXTS = (
    "",
    " ",
    "   ",
    "a",
    "Hello, world",
    " leading",
    "trailing  ",
    "\n",
    "a\n\nb",
    "[INST] hi [/INST]",
    "<s></s>[TOOL_CALLS][REF]x[/REF][REFERENCE_DOC_3]",
    "▁x▁ y",
    "café – naïve",
    "日本語のテキスト",
    "Привет, мир",
    "مرحبا",
    "👨‍👩‍👧 🇫🇷",
    "e\u0301\u200b\ufeff\u0000\x1b",
    "{}",
    '{"a": 1}',
    ' {"k":[1,2.50,null,"é"]} ',
    "null",
    " 7 ",
    "1e5",
    "1E400",
    "NaN",
    '"text"',
    "[1, 2",
    "[THINK]t[/THINK]",
    "def f(x):\n\treturn x ** 2  # ok",
    "'s",
    "word " * 40,
)
ARGUMENTS = (
    "{}",
    "",
    '{"a": 1}',
    '{"b":"é\\u00e9","a":[1,2.0,1e22,true,null]}',
    "not json",
    "[1]",
    '{"a": {"b": [{"c": "\\n\\t\\u2028/"}]}}',
    '{"a":1,"a":2}',
    "null",
    '"x"',
    {},
    {"x": "ü", "y": [1, {"z": None}]},
    None,
)
NAMES = ("f", "get_weather", "a-b_C9", "x" * 64)
BAD_NAMES = ("", "a b", "é", "x" * 65, "f.g")
SCHEMAS: tuple[Any, ...] = (
    {},
    {"type": "object", "properties": {}},
    {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Où ?"}, "n": {"type": "integer", "default": 3}},
        "required": ["city"],
        "additionalProperties": False,
    },
    {"type": "object", "properties": {"k": {"enum": ["a", 1, None]}, "l": {"type": ["array", "null"], "items": {}}}},
    {"$ref": "#/definitions/x", "definitions": {"x": {"anyOf": [{"type": "number", "minimum": 0}]}}, "x-extra": [1]},
)
BAD_SCHEMAS: tuple[Any, ...] = ({"type": "objekt"}, {"required": "a"}, {"properties": {"a": 5}}, {"type": 3})
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
NEXT = {
    None: ("user", "system"),
    "system": ("user", "user", "system", "assistant"),
    "user": ("assistant", "assistant", "assistant", "user", "system"),
    "assistant": ("user", "user", "assistant"),
    "tool": ("assistant", "assistant", "user", "tool"),
}


class Conversations:
    """Makes requests in OpenAI's format from a source of randomness."""

    def __init__(self, source: random.Random, mode: str) -> None:
        self.r = source
        self.mode = mode

    def maybe(self, chance: float) -> bool:
        return self.r.random() < chance

    def text(self) -> str:
        if self.maybe(0.2):
            return "".join(chr(self.r.choice(POINTS)) for _ in range(self.r.randrange(1, 12)))
        text = self.r.choice(TEXTS)
        return text + self.r.choice(TEXTS) if self.maybe(0.15) else text

    def content(self, role: str) -> Any:
        if not self.maybe(0.25):
            return self.text()
        return [self.chunk(role) for _ in range(self.r.randrange(5))]

    def chunk(self, role: str) -> dict[str, Any]:
        kind = "text"
        if self.maybe(0.15):
            kinds = {"user": ("x_png", "x_wav", "x_wav_url"), "tool": ("x_png",), "system": ("thinking", "x_wav")}
            kind = self.r.choice(kinds.get(role, ("thinking",)))
        if self.maybe(0.01):
            kind = self.r.choice(("thinking", "x_png", "x_wav", "image", "zz"))
        if kind == "x_png":
            return {"type": "x_png", "size": self.r.choice(((20, 20), (1, 1), (40, 17)))}
        if kind in ("x_wav", "x_wav_url"):
            return {"type": kind, "wav": (1600, 16000, 1)}
        if kind == "thinking":
            thought: dict[str, Any] = {"type": "thinking", "thinking": self.text()}
            return thought | ({"closed": self.maybe(0.5)} if self.maybe(0.5) else {})
        return {"type": kind, "text": self.text()}

    def call_id(self, long: bool) -> str:
        if self.maybe(0.04):
            return self.r.choice(("null", "", "call_1", "abcdefghi\n", "abcdefgh", "é" * 9))
        return "".join(self.r.choices(LETTERS, k=9)) + ("-call" if long and self.maybe(0.5) else "")

    def calls(self, long: bool) -> list[dict[str, Any]]:
        found = []
        for _ in range(self.r.choice((1, 1, 1, 2, 3))):
            name = self.r.choice(BAD_NAMES if self.maybe(0.02) else NAMES)
            call: dict[str, Any] = {"function": {"name": name, "arguments": self.r.choice(ARGUMENTS)}}
            if not self.maybe(0.03):
                call["id"] = self.call_id(long)
            if self.maybe(0.5):
                call["type"] = "function"
            found.append(call)
        if len(found) > 1 and self.maybe(0.03) and "id" in found[0]:
            found[1]["id"] = found[0]["id"]
        return found

    def results(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        ids = [call.get("id", "null") for call in calls]
        if self.maybe(0.3):
            self.r.shuffle(ids)
        if self.maybe(0.08):
            ids = ids[1:] if self.maybe(0.5) else [*ids, self.r.choice([*ids, "zzzzzzzzz"])]
        found: list[dict[str, Any]] = []
        for call_id in ids:
            result = {"role": "tool", "tool_call_id": call_id, "content": self.content("tool")}
            if self.maybe(0.2):
                result["name"] = self.r.choice(BAD_NAMES if self.maybe(0.05) else NAMES)
            found.append(result)
        return found

    def messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        role: str | None = None
        long = self.maybe(0.3)
        for _ in range(self.r.choice((0, 1, 1, 2, 3, 4, 5, 6, 8, 12))):
            role = self.r.choice(NEXT[role] if not self.maybe(0.01) else ("user", "system", "assistant", "tool"))
            if role == "assistant":
                found += self.assistant(long)
                role = found[-1]["role"]
            elif role == "tool":
                found.append({"role": "tool", "tool_call_id": self.call_id(long), "content": self.content("tool")})
            else:
                said = "developer" if role == "system" and self.maybe(0.1) else role
                found.append({"role": said, "content": self.content(role)})
        last = found[-1]["role"] if found else None
        if self.mode == "finetuning" and last in ("user", "tool") and not self.maybe(0.05):
            found.append({"role": "assistant", "content": self.content("assistant") or "x"})
        if self.mode in ("serving", "test") and last == "assistant" and not self.maybe(0.15):
            found.append({"role": "user", "content": self.text()})
        return found

    def assistant(self, long: bool) -> list[dict[str, Any]]:
        message: dict[str, Any] = {"role": "assistant"}
        calls = self.calls(long) if self.maybe(0.35) else []
        if calls:
            message["tool_calls"] = calls
        if not calls or self.maybe(0.2):
            message["content"] = self.content("assistant")
        if self.maybe(0.05):
            message[self.r.choice(("reasoning", "reasoning_content"))] = self.text()
        if self.maybe(0.03):
            message |= {"refusal": None, "name": "x"}
        return [message, *(self.results(calls) if calls and not self.maybe(0.05) else [])]

    def tools(self) -> list[dict[str, Any]]:
        found = []
        for _ in range(self.r.choice((0, 1, 1, 2, 4))):
            function: dict[str, Any] = {
                "name": self.r.choice(BAD_NAMES if self.maybe(0.02) else NAMES),
                "parameters": self.r.choice(BAD_SCHEMAS if self.maybe(0.02) else SCHEMAS),
            }
            if self.maybe(0.7):
                function["description"] = self.r.choice((None, self.text()))
            if self.maybe(0.2):
                function["strict"] = self.maybe(0.5)
            found.append({"type": "function", "function": function})
        return found

    def request(self) -> dict[str, Any]:
        """A request in OpenAI's format, with placeholder chunks for media."""
        request: dict[str, Any] = {"messages": self.messages()}
        if not self.maybe(0.02):
            request["model"] = "m"
        if self.maybe(0.3):
            request["tools"] = self.tools()
        answered = bool(request["messages"]) and request["messages"][-1]["role"] == "assistant"
        if self.maybe(0.7 if answered and self.mode != "finetuning" else 0.01):
            request["continue_final_message"] = True
        if self.maybe(0.03):
            request["reasoning_effort"] = self.r.choice(("none", "high", "low"))
        if self.maybe(0.05):
            request["response_format"] = self.r.choice(FORMATS)
        if self.maybe(0.15):
            request["truncate_for_context_length"] = True
        if self.maybe(0.05):
            request |= {"temperature": self.r.choice((0, 0.3, 1.0)), "stream": True, "tool_choice": "auto"}
        return request

    def budget(self, request: dict[str, Any]) -> int | None:
        """How many ids truncation allows."""
        return None if self.maybe(0.1) else self.r.choice((1, 5, 10, 20, 40, 80, 300))


FORMATS: tuple[dict[str, Any], ...] = (
    {"type": "text"},
    {"type": "json_object"},
    {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object", "title": "é"}, "strict": True}},
)
POINTS = [
    *range(0x20, 0x7F),
    *(9, 10, 13, 0x7F, 0xA0, 0xE9, 0x301, 0x3B1, 0x44F, 0x5D0, 0x627, 0x915, 0xE01, 0x2028, 0x2581, 0x3042, 0x4E2D),
    *(0xAC00, 0xE000, 0xFEFF, 0xFFFD, 0xFFFF, 0x1F600, 0x1F468, 0x200D, 0x10FFFF),
]


def shown(request: dict[str, Any]) -> str:
    """A request as a failing test prints it."""
    return json.dumps(request, ensure_ascii=True)
