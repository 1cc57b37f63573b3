"""Small conversations, each of which shows one rule of chat layout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mistral_tok.chat.formats import FORMATS

Request = dict[str, Any]


def _user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _assistant(text: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def _system(text: Any) -> dict[str, Any]:
    return {"role": "system", "content": text}


def _calls(*arguments: Any, content: str | None = None) -> dict[str, Any]:
    calls = [
        {"id": ("abcdefghi", "bcdefghij")[i], "type": "function", "function": {"name": "fg"[i], "arguments": given}}
        for i, given in enumerate(arguments)
    ]
    return {"role": "assistant", "tool_calls": calls} | ({"content": content} if content else {})


def _result(text: str, call_id: str = "abcdefghi") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def _tool(description: str = "", parameters: Any = None) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "description": description, "parameters": parameters or {}}}


def probes(version: str) -> list[tuple[str, Request]]:
    """Rule and conversation, the small ones first. Those that a version refuses are there, too."""
    a, b, c = _user("a"), _assistant("b"), _user("c")
    talks: list[tuple[str, list[dict[str, Any]]]] = [
        ("user turn", [a]),
        ("spaces", [_user(" a")]),
        ("spaces", [_user("a ")]),
        ("spaces", [_user("a\n")]),
        ("EOS", [a, b, c]),
        ("trailing spaces", [a, _assistant("b "), c]),
        ("other white space", [a, _assistant("b\n"), c]),
        ("leading spaces", [a, _assistant(" b"), c]),
        ("system placement", [_system("s"), a]),
        ("system spaces", [_system(" s "), a]),
        ("system placement in longer conversations", [_system("s"), a, b, c]),
        ("several system messages", [_system("s"), _system("t"), a]),
        ("system message later", [a, _system("s"), c]),
        ("merged user messages", [a, c]),
        ("merged assistant messages", [a, b, _assistant("d"), c]),
        ("text chunks", [_user([{"type": "text", "text": "a"}, {"type": "text", "text": "c"}])]),
        ("assistant first", [b, c]),
        ("tool calls", [a, _calls({}), _result("r")]),
        ("arguments", [a, _calls({"x": 1, "b": [1, 2.0, None]}), _result("r")]),
        ("arguments as text", [a, _calls('{"x": 1}'), _result("r")]),
        ("empty arguments", [a, _calls(""), _result("r")]),
        ("JSON", [a, _calls({"é": "<&'\"\n"}), _result("r")]),
        ("several calls", [a, _calls({}, {}), _result("r"), _result("q", "bcdefghij")]),
        ("order of results", [a, _calls({}, {}), _result("q", "bcdefghij"), _result("r")]),
        ("text beside calls", [a, _calls({}, content="d"), _result("r")]),
        ("results", [a, _calls({}), _result('r "é"')]),
        ("results that are JSON", [a, _calls({}), _result('{"k": 1}')]),
        ("results that are numbers", [a, _calls({}), _result("42")]),
        ("empty results", [a, _calls({}), _result("")]),
        ("calls in the past", [a, _calls({}), _result("r"), b, c]),
    ]
    found: list[tuple[str, Request]] = [(rule, {"messages": messages}) for rule, messages in talks]
    schema = {"type": "object", "properties": {"z": {"type": "string"}, "a": {"enum": ["é<"]}}}
    found += [
        ("tool list", {"messages": [a], "tools": [_tool()]}),
        ("tool list JSON", {"messages": [a], "tools": [_tool("é <b>", schema), _tool("second")]}),
        (
            "key order of tools",
            {"messages": [a], "tools": [{"function": {"parameters": {}, "name": "f"}, "type": "function"}]},
        ),
        ("tool list placement", {"messages": [a, b, c], "tools": [_tool()]}),
        ("tools beside system", {"messages": [_system("s"), a], "tools": [_tool()]}),
        ("continuation", {"messages": [a, b], "continue_final_message": True}),
    ]
    row = FORMATS[version]
    if row.thinking:
        thought = [{"type": "thinking", "thinking": "t"}, {"type": "text", "text": "b "}]
        found.append(("thinking", {"messages": [a, _assistant(thought), c]}))
    if row.settings:
        found.append(("settings", {"messages": [a], "reasoning_effort": "high"}))
    return sorted(found, key=lambda entry: (entry[0] == "assistant first", len(entry[1]["messages"])))


def variations(request: Request) -> Iterator[Request]:
    """Requests with one thing less: a message, the tools, an option, most of a text."""
    messages = request["messages"]
    for i in range(len(messages)):
        yield {**request, "messages": messages[:i] + messages[i + 1 :]}
    for key in request:
        if key != "messages":
            yield {k: v for k, v in request.items() if k != key}
    if len(request.get("tools") or []) > 1:
        for tool in request["tools"]:
            yield {**request, "tools": [tool]}
    for i, message in enumerate(messages):
        if isinstance(message.get("content"), str) and len(message["content"]) > 1:
            text = message["content"]
            for shorter in (text[:1], text[1:], text[:-1]):
                yield {**request, "messages": [*messages[:i], {**message, "content": shorter}, *messages[i + 1 :]]}
