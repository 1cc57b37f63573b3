"""Ids of a model's output → message and events: each format, and each way in which an output can be malformed."""

from __future__ import annotations

import json
import tracemalloc
from array import array
from functools import cache
from typing import Any

import msgspec
import pytest

from mistral_tok.chat.events import (
    ArgumentsDelta,
    CallBegun,
    CallComplete,
    End,
    Problem,
    TextDelta,
    ThinkingDelta,
    join,
    made_id,
)
from mistral_tok.chat.parse import parse, parse_lines, parse_report
from mistral_tok.chat.parse_stream import StreamParser
from mistral_tok.chat.schema import AssistantMessage, FunctionCall, TextChunk, ThinkChunk, ToolCall
from mistral_tok.errors import TokenizerException
from mistral_tok.tokenizer import Tokenizer
from mistral_tok.vocab import NEVER, Kind, Vocabulary

CALLS, ARGS, ID, THINK, UNTHINK = "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]"
NAMES = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", CALLS, ARGS, ID, THINK, UNTHINK, "<pad>"]
END = "</s>"


@cache
def tiny(version: str) -> Tokenizer:
    """A vocabulary of control tokens and single bytes."""
    pieces = (*(name.encode() for name in NAMES), *(bytes([b]) for b in range(256)))
    kinds = bytes([Kind.CONTROL] * len(NAMES) + [Kind.BYTE] * 256)
    ranks = array("I", [NEVER] * len(pieces))
    vocabulary = Vocabulary(
        f"tiny-{version}", "tekken", version, pieces, kinds, ranks, bos_id=1, eos_id=2, unk_id=0, pad_id=10
    )
    return Tokenizer.from_vocabulary(vocabulary)


def ids_of(*parts: str) -> list[int]:
    ids: list[int] = []
    for part in parts:
        ids += [NAMES.index(part)] if part in NAMES else [len(NAMES) + b for b in part.encode()]
    return ids


def read(version: str, *parts: str) -> Any:
    return parse(tiny(version), ids_of(*parts))


def faults(message: Any) -> list[tuple[str, int, int | None]]:
    return [(problem.fault, problem.position, problem.call) for problem in message.problems]


def calls_of(message: Any) -> list[tuple[str, str]]:
    return [(call.function.name, call.function.arguments) for call in message.tool_calls or []]


def test_text() -> None:
    message = read("v13", "héllo", END)
    assert message == AssistantMessage(content="héllo")
    assert AssistantMessage(content="héllo") == message
    assert message != AssistantMessage(content="hello")
    assert (message.ended, message.problems) == (True, [])
    assert read("v13", "hé").ended is False
    assert read("v13").content == ""


def test_beginning_and_padding_are_dropped() -> None:
    assert read("v13", "<s>", "a", END, END, "<pad>", "<pad>") == read("v13", "a", END)


def test_thinking() -> None:
    message = read("v13", THINK, "t", UNTHINK, THINK, UNTHINK, "x", END)
    assert message.content == [ThinkChunk(thinking="t"), ThinkChunk(thinking=""), TextChunk(text="x")]
    assert message.problems == []


@pytest.mark.parametrize("version", ["v13", "v15"])
def test_calls_by_name(version: str) -> None:
    message = read(version, "t", CALLS, "f", ARGS, '{"a": 1}', CALLS, "g", ARGS, "{}", END)
    assert message.content == "t"
    assert calls_of(message) == [("f", '{"a": 1}'), ("g", "{}")]
    assert message.values == [{"a": 1}, {}]
    assert [call.id for call in message.tool_calls] == [made_id(0, "f", '{"a": 1}'), made_id(1, "g", "{}")]
    assert message.problems == []


def test_calls_with_ids() -> None:
    message = read("v11", CALLS, "f", ID, "abcdefghi", ARGS, '{"a": 1}', CALLS, "g", ARGS, "[]", END)
    assert message.content is None
    assert [call.id for call in message.tool_calls] == ["abcdefghi", made_id(1, "g", "[]")]
    assert message.problems == []


def test_a_list_of_calls_in_any_key_order() -> None:
    first = '{"name": "f", "arguments": {"x": [1, "]}\\\\", "\\""]}, "id": "abcdefghi"}'
    second = '{"id": "000000000", "arguments" :"not json" , "n\\u0061me": "g"}'
    message = read("v7", "t", CALLS, f" [ {first}, {second} ] ", END)
    assert calls_of(message) == [("f", '{"x": [1, "]}\\\\", "\\""]}'), ("g", '"not json"')]
    assert message.values == [{"x": [1, "]}\\", '"']}, "not json"]
    assert [call.id for call in message.tool_calls] == ["abcdefghi", "000000000"]
    assert message.problems == []


def test_two_lists() -> None:
    message = read("v3", CALLS, '[{"name":"f","arguments":{}}]', CALLS, '[{"name":"f","arguments":{}}]', END)
    assert len({call.id for call in message.tool_calls}) == 2


PARTS = {
    "cut off": ("v13", ["t", CALLS, "f", ARGS, '{"a": 1'], [("arguments_cut_off", 1, 0)]),
    "cut off in text": ("v13", ["t", CALLS, "f", ARGS, '{"a": "1'], [("arguments_cut_off", 1, 0)]),
    "empty arguments": ("v13", [CALLS, "f", ARGS, END], [("arguments_cut_off", 0, 0)]),
    "not JSON": ("v13", [CALLS, "f", ARGS, "{a}", END], [("arguments_not_json", 0, 0)]),
    "too deep": ("v13", [CALLS, "f", ARGS, "[" * 100_000 + "]" * 100_000], [("arguments_not_json", 0, 0)]),
    "too many digits": ("v13", [CALLS, "f", ARGS, "1" * 5000], [("arguments_not_json", 0, 0)]),
    "no name": ("v13", [CALLS, ARGS, "{}", END], [("no_name", 0, None)]),
    "blank name": ("v13", [CALLS, "  ", ARGS, "{}", END], [("no_name", 0, None)]),
    "nothing": ("v13", [CALLS, END], [("no_name", 0, None)]),
    "no arguments": ("v13", [CALLS, "f", END], [("no_arguments", 0, None)]),
    "only an id": ("v11", [CALLS, "f", ID, "abc", END], [("no_arguments", 0, None)]),
    "control in arguments": (
        "v13",
        [CALLS, "f", ARGS, '{"a"', "[INST]", ": 1}", END],
        [("control_out_of_place", 0, 0), ("control_out_of_place", 7, None)],
    ),
    "call id in v13": (
        "v13",
        [CALLS, "f", ID, "abc"],
        [("control_out_of_place", 0, None), ("control_out_of_place", 2, None)],
    ),
    "control in text": ("v13", ["a[", "[INST]", "b", END], [("control_out_of_place", 2, None)]),
    "arguments in text": ("v13", ["a", ARGS, "b", END], [("control_out_of_place", 1, None)]),
    "beginning in text": ("v13", ["a", "<s>"], [("control_out_of_place", 1, None)]),
    "stray end of thinking": ("v13", ["a", UNTHINK, "b", END], [("stray_thinking_end", 1, None)]),
    "thinking before v13": (
        "v11",
        [THINK, "t", UNTHINK],
        [("control_out_of_place", 0, None), ("control_out_of_place", 2, None)],
    ),
    "calls in v1": ("v1", ["a", CALLS, "b"], [("control_out_of_place", 1, None)]),
    "after the end": ("v13", ["a", END, "b"], [("after_end", 2, None)]),
    "no list": ("v3", [CALLS, " hello", END], [("calls_not_a_list", 0, None)]),
    "an object": ("v3", [CALLS, '{"name": "f", "arguments": {}}'], [("calls_not_a_list", 0, None)]),
    "an empty list": ("v3", [CALLS, "[ ]", END], [("no_name", 0, None)]),
    "no list at all": ("v3", ["t", CALLS, END], [("calls_cut_off", 1, None)]),
    "a list cut off": ("v3", [CALLS, '[{"name":"g","arguments":{"a', END], [("arguments_cut_off", 0, 0)]),
    "a list cut off early": ("v3", [CALLS, " [", END], [("calls_cut_off", 0, None)]),
    "a list without names": ("v3", [CALLS, '[{"arguments":{}}, {}]'], [("no_name", 0, None), ("no_name", 0, None)]),
    "a name that is none": ("v3", [CALLS, '[{"name":5,"arguments":{}}]'], [("no_name", 0, None)]),
    "a list without arguments": ("v3", [CALLS, '[{"name":"f"}]'], [("no_arguments", 0, 0)]),
    "a key twice": ("v3", [CALLS, '[{"name":"f","name":"g","arguments":{}}]'], [("repeated_key", 0, 0)]),
    "an object that is not JSON": ("v3", [CALLS, '[{"name":"f","arguments":{1}}]'], [("arguments_not_json", 0, 0)]),
    "brackets that do not match": ("v3", [CALLS, '[{"name":"f","arguments":[}}]'], [("arguments_not_json", 0, 0)]),
    "a missing comma": ("v3", [CALLS, '[{"name":"f" "arguments":{}}]'], [("arguments_not_json", 0, 0)]),
    "a missing colon": ("v3", [CALLS, '[{"name""f"}]'], [("arguments_not_json", 0, None)]),
}


@pytest.mark.parametrize("case", PARTS)
def test_what_is_malformed_becomes_text_and_a_named_problem(case: str) -> None:
    version, parts, expected = PARTS[case]
    message = read(version, *parts)
    written = "".join(parts)
    assert message.content == (written.removesuffix(END) if message.ended else written)
    assert message.tool_calls is None
    assert faults(message) == expected


def test_good_calls_beside_bad_ones_are_kept() -> None:
    message = read("v3", CALLS, '[{"arguments": {}}, {"name":"g","arguments":{}}, {"name": "h"}, {}]', END)
    assert calls_of(message) == [("g", "{}")]
    assert message.content == '[TOOL_CALLS][{"arguments": {}}, {"name": "h"}, {}]'
    assert [fault for fault, _, _ in faults(message)] == ["no_name", "no_arguments", "no_name"]


@pytest.mark.parametrize(
    ("tail", "text", "fault"),
    [("", None, "calls_cut_off"), (", ", ", ", "calls_cut_off"), ("] then", " then", "text_after_calls")],
)
def test_whole_calls_in_a_list_that_is_not(tail: str, text: str | None, fault: str) -> None:
    message = read("v3", CALLS, '[{"name":"g","arguments":{}}' + tail, END)
    assert (message.content or "").strip() == (text or "").strip()
    assert calls_of(message) == [("g", "{}")]
    assert faults(message) == [(fault, 0, None)]


def test_thinking_that_is_nested_or_not_closed() -> None:
    message = read("v13", THINK, "a", THINK, "b", UNTHINK, "c", END)
    assert message.content == [ThinkChunk(thinking="a[THINK]b"), TextChunk(text="c")]
    assert faults(message) == [("nested_thinking", 2, None)]
    message = read("v13", THINK, "a", CALLS, "f", ARGS, "{}", END)
    assert message.content == [ThinkChunk(thinking="a", closed=False)]
    assert calls_of(message) == [("f", "{}")]
    assert faults(message) == [("thinking_not_closed", 2, None)]


def test_odd_names_and_ids_are_kept_and_named() -> None:
    message = read("v11", CALLS, "a b", ID, "abc", ARGS, "{}", CALLS, "f", ID, "abc", ARGS, "{}", END)
    assert [(call.id, call.function.name) for call in message.tool_calls] == [("abc", "a b"), ("abc", "f")]
    assert [fault for fault, _, _ in faults(message)] == ["bad_id", "bad_name", "repeated_id"]
    message = read("v3", CALLS, '[{"name":"f","arguments":{},"id":5},{"name":"g","arguments":{},"id":null}]', END)
    assert [len(call.id) for call in message.tool_calls] == [9, 9]
    assert faults(message) == [("bad_id", 0, None)]


def test_further_keys_of_a_call_are_named() -> None:
    message = read("v3", CALLS, '[{"name":"f","note":["é"],"arguments":{}}]', END)
    assert calls_of(message) == [("f", "{}")]
    assert faults(message) == [("unknown_key", 0, None)]
    assert '{"note": ["é"]}' in message.problems[0].message


def test_ids_outside_the_vocabulary() -> None:
    message = parse(tiny("v13"), [*ids_of("a"), 9999, -1])
    assert message.content == "a<unknown id 9999><unknown id -1>"
    assert [fault for fault, _, _ in faults(message)] == ["unknown_id", "unknown_id"]


def test_invalid_utf8_before_a_control_token() -> None:
    first, *_ = ids_of("é")
    message = parse(tiny("v13"), [first, *ids_of(CALLS, "f", ARGS, "{}", END)])
    assert message.content == "\ufffd"
    assert calls_of(message) == [("f", "{}")]


def test_events_of_a_stream() -> None:
    parser = StreamParser(tiny("v13"))
    pushes = [parser.push(ids_of(part)) for part in ["a", THINK, "t", UNTHINK, CALLS, "f", ARGS, '{"a"', ": 1}", END]]
    index, name, text = 0, "f", '{"a": 1}'
    assert pushes == [
        [TextDelta(text="a")],
        [ThinkingDelta(text="", begins=True)],
        [ThinkingDelta(text="t")],
        [ThinkingDelta(text="", closed=True)],
        [],
        [],
        [CallBegun(index=index, name=name)],
        [ArgumentsDelta(index=index, text='{"a"')],
        [ArgumentsDelta(index=index, text=": 1}")],
        [
            CallComplete(index=index, name=name, id=made_id(index, name, text), arguments=text, value={"a": 1}),
            End(),
        ],
    ]
    assert parser.finish() == []
    with pytest.raises(TokenizerException, match="finished"):
        parser.push(5)


def test_events_of_a_list_come_as_it_grows() -> None:
    parser = StreamParser(tiny("v3"))
    pushes = [CALLS, '[{"arguments": {"x', '": 1}, "name": "f', '"', ', "id": "abcdefghi"', "}", "]"]
    events = [parser.push(ids_of(part)) for part in pushes]
    assert events[:3] == [[], [], []]
    assert events[3] == [CallBegun(index=0, name="f"), ArgumentsDelta(index=0, text='{"x": 1}')]
    assert [type(event) for event in events[5]] == [CallComplete]
    parser = StreamParser(tiny("v3"))
    events = [parser.push(ids_of(part)) for part in [CALLS, '[{"name": "f", "arguments": {"x', '": 1', "}}]"]]
    assert events[1:3] == [
        [CallBegun(index=0, name="f"), ArgumentsDelta(index=0, text='{"x')],
        [ArgumentsDelta(index=0, text='": 1')],
    ]


def test_a_spoilt_call_is_taken_back() -> None:
    parser = StreamParser(tiny("v13"))
    assert parser.push(ids_of(CALLS, "f", ARGS, "{"))[0] == CallBegun(index=0, name="f")
    problem, text = parser.finish()
    assert isinstance(problem, Problem)
    assert (problem.fault, problem.call) == ("arguments_cut_off", 0)
    assert text == TextDelta(text="[TOOL_CALLS]f[ARGS]{")


def test_made_ids_are_unique_and_depend_only_on_the_call() -> None:
    first = made_id(0, "f", "{}")
    assert first == made_id(0, "f", "{}")
    assert first != made_id(0, "f", "{}", {first})
    assert len(first) == 9
    assert first.isalnum()


def test_ids_may_be_an_array_or_a_generator() -> None:
    numpy = pytest.importorskip("numpy")
    ids = ids_of("abc", END)
    assert parse(tiny("v13"), numpy.array(ids)) == parse(tiny("v13"), iter(ids)) == read("v13", "abc", END)
    with pytest.raises(TypeError):
        parse(tiny("v13"), [1.5])  # type: ignore[list-item]


def test_unknown_versions() -> None:
    with pytest.raises(TokenizerException, match="v99"):
        parse(tiny("v13"), [], version="v99")
    assert calls_of(parse(tiny("v13"), ids_of(CALLS, '[{"name":"f","arguments":{}}]'), version="v3")) == [("f", "{}")]


def test_report_is_plain_data() -> None:
    report = parse_report(tiny("v13"), ids_of("hi", CALLS, "f", ARGS, '{"a": 1}', CALLS, "g"))
    assert json.loads(json.dumps(report)) == report
    assert report["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert report["values"] == [{"a": 1}]
    assert report["problems"][0]["fault"] == "no_arguments"
    assert report["ended"] is False


def test_lines_for_a_terminal() -> None:
    message = read("v13", THINK, "t", UNTHINK, "x", CALLS, "f", ARGS, "{}", CALLS)
    assert parse_lines(message) == [
        ("thinking", "t"),
        ("text", "x[TOOL_CALLS]"),
        (f"call {made_id(0, 'f', '{}')}", "f {}"),
        ("problem no_name", "A tool call has no name; it is kept as text. (at id 9)"),
    ]


def test_events_are_json() -> None:
    parser = StreamParser(tiny("v13"))
    events = [*parser.push(ids_of("a", CALLS, "f", ARGS, "{}", END)), *parser.finish()]
    names = [record["event"] for record in json.loads(msgspec.json.encode(events))]
    assert names == ["text", "call_begun", "arguments", "call_complete", "end"]


def test_messages_are_separate() -> None:
    message = join([])
    message.problems.append("x")  # type: ignore[arg-type]
    assert join([]).problems == []
    call = ToolCall(id=made_id(0, "f", "{}"), function=FunctionCall(name="f", arguments="{}"))
    assert read("v13", CALLS, "f", ARGS, "{}") == AssistantMessage(tool_calls=[call])


@pytest.mark.parametrize("version", ["v3", "v13"])
def test_memory_is_that_of_the_call(version: str) -> None:
    """A long text that is pushed and forgotten leaves nothing behind."""
    parser = StreamParser(tiny(version))
    chunk = ids_of("some text " * 100)
    parser.push(chunk)
    tracemalloc.start()
    try:
        for _ in range(200):
            parser.push(chunk)
        assert tracemalloc.get_traced_memory()[0] < 50_000
    finally:
        tracemalloc.stop()


def test_messages_are_compared_by_what_they_say() -> None:
    from mistral_tok.chat.messages import AssistantMessage

    first, again = join([TextDelta(text="a")]), join([TextDelta(text="a")])
    assert first == again
    assert (first != again) is False
    assert (AssistantMessage(content="a") != first) is False
    assert first != join([TextDelta(text="a"), End()])
