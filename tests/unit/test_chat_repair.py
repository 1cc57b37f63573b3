"""Reports of what a request was changed into, and repairs of requests that are refused without."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import MappingProxyType

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chat_support import CALLS, TOOLS, chat, ours, round_trip

from mistral_tok import errors
from mistral_tok.chat import schema
from mistral_tok.chat.repair import nine

U, A, S = "user", "assistant", "system"


def print_it(text: str) -> None:
    """Print a text.

    Args:
        text: the text

    """


def test_report_lists_every_edit() -> None:
    messages = [
        {"role": "user", "content": "a", "name": "x"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "tool_calls": [CALLS[0], {**CALLS[0], "id": "bbbbbbbbb"}]},
        {"role": "tool", "tool_call_id": "bbbbbbbbb", "content": "2"},
        {"role": "tool", "tool_call_id": "abcdefghi", "content": "1"},
    ]
    done = ours("v13").encode_chat_completion({"messages": messages, "stop": ["x"]}, report=True)
    assert [(edit.kind, edit.path) for edit in done.report] == [
        ("dropped key", "$.messages[0].name"),
        ("dropped key", "$.stop"),
        ("merged", "$.messages[1]"),
        ("rewritten", "$.messages[2].tool_calls[0].function.arguments"),
        ("rewritten", "$.messages[2].tool_calls[1].function.arguments"),
        ("reordered", "$.messages[3]"),
    ]


def test_report_lists_dropped_keys_however_the_request_came() -> None:
    text = {"type": "text", "text": "a", "cache": 1}
    messages = [
        {"role": "user", "content": [text]},
        {"role": "assistant", "content": "b", "weight": 0},
        *chat((U, "c")),
    ]
    tools = [{**TOOLS[0], "extra": 1}]
    whole = {"messages": messages, "tools": tools, "n": 1}
    dropped = ["$.messages[0].content[0].cache", "$.tools[0].extra", "$.n", "$.messages[1].weight"]
    for request in (whole, json.dumps(whole), json.dumps(whole).encode(), MappingProxyType(whole)):
        assert [edit.path for edit in ours("v13").encode_chat_completion(request, report=True).report] == dropped
    done = ours("v13").encode_chat_completion(messages, tools=[*tools, print_it], report=True)
    assert [edit.path for edit in done.report] == ["$.tools[0].extra", dropped[0], dropped[3]]
    mixed = [schema.SystemMessage(content="s"), *messages]
    assert [e.path for e in ours("v13").encode_chat_completion(mixed, report=True).report][:1] == [
        "$.messages[1].content[0].cache"
    ]
    training = ours("v13", "finetuning").encode_chat_completion(messages[:2], report=True)
    assert [edit.path for edit in training.report] == dropped[:1]


def test_repair_maps_ids_alike_everywhere() -> None:
    foreign = "call_9pw4a8sX-long-id"
    with pytest.raises(errors.InvalidFunctionCallException):
        ours("v7").encode_chat_completion(round_trip(foreign))
    done = ours("v7").encode_chat_completion(round_trip(foreign), repair=True, report=True)
    assert nine(foreign) == "ZlbdufOMJ"  # the same in every process and release
    assert done.tokens == ours("v7").encode_chat_completion(round_trip(nine(foreign))).tokens
    assert [edit.kind for edit in done.report][:2] == ["id changed", "id changed"]


def test_repair_fixes_roles() -> None:
    messages = chat((U, "a"), (A, "b"), (S, "now"), (U, "c"))
    messages.insert(2, {"role": "tool", "tool_call_id": "zzzzzzzzz", "content": "stray"})
    done = ours("v11").encode_chat_completion(messages, repair=True)
    assert ours("v11").decode(done.tokens, "keep") == (
        "<s>[INST]a[/INST]b</s>[INST]stray[/INST][SYSTEM_PROMPT]now[/SYSTEM_PROMPT][INST]c[/INST]"
    )


def test_repair_answers_open_calls_for_serving() -> None:
    request = {"messages": [*round_trip()[:2], *chat((U, "b"))], "model": "m"}
    with pytest.raises(errors.InvalidMessageStructureException):
        ours("v13", "serving").encode_chat_completion(request)
    done = ours("v13", "serving").encode_chat_completion(request, repair=True)
    assert "[TOOL_RESULTS][/TOOL_RESULTS]" in ours("v13").decode(done.tokens, "keep")


@pytest.mark.parametrize("name", ["v3", "v7", "v11", "v13"])
def test_repair_gives_results_without_id_the_calls_that_no_other_names(name: str) -> None:
    calls = [{**CALLS[0], "id": call_id} for call_id in ("aaaaaaaaa", "null", "ccccccccc")]
    results = [("null", "1"), ("ccccccccc", "2"), ("aaaaaaaaa", "3")]
    messages = [
        *chat((U, "a")),
        {"role": "assistant", "tool_calls": calls},
        *({"role": "tool", "tool_call_id": call_id, "content": text} for call_id, text in results),
    ]
    request = {"messages": messages, "model": "m"}
    done = ours(name, "serving").encode_chat_completion(request, repair=True, report=True)
    assert [(e.kind, e.path) for e in done.report if e.kind != "rewritten" and e.kind != "reordered"] == [
        ("id changed", "$.messages[1].tool_calls[1].id"),
        ("id changed", "$.messages[2].tool_call_id"),
    ]


@pytest.mark.parametrize("name", ["v3", "v7"])
def test_repair_counts_results_where_the_version_counts_them(name: str) -> None:
    calls = [{**CALLS[0], "id": call_id} for call_id in ("aaaaaaaaa", "bbbbbbbbb")]
    result = {"role": "tool", "tool_call_id": "aaaaaaaaa", "content": "1"}
    messages = [*chat((U, "a")), {"role": "assistant", "tool_calls": calls}, result, result, *chat((A, "b"), (U, "c"))]
    request = {"messages": messages, "model": "m"}
    done = ours(name, "serving").encode_chat_completion(request, repair=True, report=True)
    assert done == ours(name, "serving").encode_chat_completion(request)
    assert {edit.kind for edit in done.report} == {"rewritten"}
