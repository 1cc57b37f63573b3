"""Reading outputs: any ids, however split, give one message; nothing is raised or lost; what was encoded comes back."""

from __future__ import annotations

import json
from array import array
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistral_tok.chat.events import ArgumentsDelta, CallBegun, CallComplete, Problem, join
from mistral_tok.chat.parse import parse
from mistral_tok.chat.parse_stream import StreamParser
from mistral_tok.errors import InvalidAssistantMessageException, TokenizerException
from mistral_tok.load import bundled_path
from mistral_tok.load import read as read_vocabulary
from mistral_tok.mistral import MistralTokenizer
from mistral_tok.tokenizer import Tokenizer
from mistral_tok.vocab import NEVER, Kind, Vocabulary

CONTROLS = [
    *["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]"],
    *["[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]"],
    *["[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]", "[ARGS]", "[CALL_ID]", "[THINK]"],
    *["[/THINK]", "[MODEL_SETTINGS]", "[/MODEL_SETTINGS]"],
]
VERSIONS = ["v2", "v3", "v7", "v11", "v13", "v15"]


@cache
def tiny(version: str) -> Tokenizer:
    """A vocabulary of control tokens and single bytes."""
    pieces = (*(name.encode() for name in CONTROLS), *(bytes([b]) for b in range(256)))
    kinds = bytes([Kind.CONTROL] * len(CONTROLS) + [Kind.BYTE] * 256)
    config = {"model_settings_builder": {}} if version == "v15" else {}
    ends = {"bos_id": 1, "eos_id": 2, "unk_id": 0, "pad_id": 11}
    ranks = array("I", [NEVER] * len(pieces))
    return Tokenizer.from_vocabulary(
        Vocabulary(f"tiny-{version}", "tekken", version, pieces, kinds, ranks, config=config, **ends)
    )


def ids_of(text: str) -> list[int]:
    return [len(CONTROLS) + b for b in text.encode()]


FRAGMENTS = [
    '[{"name": "f", "arguments": {"a": [1, "x\\"]"]}}',
    '{"name": "g", "arguments": {}}',
    '"name": "h"',
    '"arguments": ',
    '"id": "abcdefghi"',
    '"note": 1',
    "abcdefghi",
    "f",
    *'[]{},:"\\é🙂 ',
]
PIECES = st.one_of(
    st.sampled_from(CONTROLS).map(lambda name: [CONTROLS.index(name)]),
    st.sampled_from(["[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]"]).map(lambda n: [CONTROLS.index(n)]),
    st.sampled_from(FRAGMENTS).map(ids_of),
    st.sampled_from(FRAGMENTS).map(ids_of),
    st.integers(-2, len(CONTROLS) + 260).map(lambda i: [i]),
)
OUTPUTS = st.lists(PIECES, max_size=25).map(lambda pieces: [i for piece in pieces for i in piece])


@given(OUTPUTS, st.sampled_from(["v1", *VERSIONS]), st.data())
def test_every_split_gives_the_same_message(ids: list[int], version: str, data: Any) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(ids)), max_size=6)))
    whole = parse(tiny(version), ids)
    for bounds in (cuts, range(1, len(ids))):
        parser = StreamParser(tiny(version))
        events = []
        for start, stop in zip([0, *bounds], [*bounds, len(ids)], strict=True):
            events += parser.push(ids[start:stop])
        events += parser.finish()
        assert join(events) == whole
        assert_consistent(events)


def assert_consistent(events: list[Any]) -> None:
    """Calls are begun once and in order, end once, and their deltas add up."""
    arguments: dict[int, str] = {}
    open_calls: list[int] = []
    for event in events:
        if isinstance(event, CallBegun):
            assert event.index == len(arguments)
            arguments[event.index] = ""
            open_calls.append(event.index)
        elif isinstance(event, ArgumentsDelta):
            assert open_calls == [event.index]
            arguments[event.index] += event.text
        elif isinstance(event, CallComplete):
            assert open_calls == [event.index]
            open_calls.remove(event.index)
            assert arguments[event.index] == event.arguments
            assert json.loads(event.arguments) == event.value
        elif isinstance(event, Problem) and event.call is not None:
            assert open_calls == [event.call]
            open_calls.remove(event.call)
    assert open_calls == []


MARKED = st.lists(
    st.one_of(st.sampled_from(FRAGMENTS), st.sampled_from(CONTROLS), st.just("§")), min_size=1, max_size=25
)


@given(MARKED, st.sampled_from(["v1", *VERSIONS]))
def test_nothing_is_lost(parts: list[str], version: str) -> None:
    """Each § is a different letter of the private use area; all of them are somewhere in the message."""
    ids: list[int] = []
    marks = []
    for i, part in enumerate(parts):
        if part == "§":
            marks.append(chr(0xE000 + i))
            part = marks[-1]
        ids += [CONTROLS.index(part)] if part in CONTROLS else ids_of(part)
    message = parse(tiny(version), ids)
    calls = [call.to_openai() for call in message.tool_calls or []]
    noted = [problem.message for problem in message.problems if problem.fault == "unknown_key"]
    said = json.dumps([message.to_openai(), calls, noted], ensure_ascii=False) if _openai(message) else repr(message)
    for mark in marks:
        assert mark in said or repr(mark)[1:-1] in said


def _openai(message: Any) -> bool:
    """Thoughts after other content have no form in OpenAI's format."""
    return isinstance(message.content, str | None)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
ARGUMENTS = st.one_of(st.dictionaries(TEXTS, VALUES, max_size=3).map(json.dumps), VALUES.map(json.dumps), TEXTS)
NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
IDS = st.from_regex(r"[a-zA-Z0-9]{9}", fullmatch=True)
CALLS = st.lists(st.tuples(IDS, NAMES, ARGUMENTS), max_size=3, unique_by=lambda call: call[0])
CONTENT = st.one_of(
    TEXTS,
    st.lists(
        st.one_of(
            TEXTS.map(lambda t: {"type": "text", "text": t}),
            st.tuples(TEXTS, st.booleans()).map(
                lambda t: {"type": "thinking", "thinking": t[0], "closed": t[1]},
            ),
        ),
        min_size=1,
        max_size=3,
    ),
)


def encoded(tokenizer: Tokenizer, version: str, answer: Any) -> list[int]:
    """The ids of an answer, in a conversation that ends with it."""
    request = [{"role": "user", "content": "q"}, answer]
    ids = MistralTokenizer(tokenizer, "finetuning", version=version).encode_chat_completion(request).tokens
    return ids[ids.index(tokenizer.special_names["[/INST]"]) + 1 :]


@cache
def renamed() -> Tokenizer:
    """A published Tekken vocabulary, with the control tokens that later versions have."""
    vocabulary = read_vocabulary(bundled_path("v3-tekken"))
    later = CONTROLS[20:]
    pieces = (*vocabulary.pieces[:20], *(name.encode() for name in later), *vocabulary.pieces[20 + len(later) :])
    return Tokenizer.from_vocabulary(replace(vocabulary, pieces=pieces, config={"model_settings_builder": {}}))


VOCABULARIES = {
    **{f"tiny {version}": (tiny, version) for version in VERSIONS},
    **{f"tekken {version}": (lambda _: renamed(), version) for version in VERSIONS},
    **{f"sentencepiece {version}": (Tokenizer.bundled, version) for version in ["v2", "v3", "v7"]},
}


@given(st.sampled_from(sorted(VOCABULARIES)), CONTENT, CALLS)
def test_what_was_encoded_comes_back(name: str, content: Any, calls: list[tuple[str, str, str]]) -> None:
    make, version = VOCABULARIES[name]
    tokenizer = make(version)
    thinks = version in ("v13", "v15")
    if isinstance(content, list) and not thinks:
        content = [chunk for chunk in content if chunk["type"] == "text"] or "t"
    if isinstance(content, list):  # what follows a thought that is not closed is part of it
        content = [{**c, "closed": True} if c["type"] == "thinking" else c for c in content[:-1]] + content[-1:]
    if version in ("v2", "v3"):
        content, calls = (None, calls) if calls else (content, [])
    answer: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        answer["tool_calls"] = [
            {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for id, name, arguments in calls
        ]
    try:
        ids = encoded(tokenizer, version, answer)
    except (InvalidAssistantMessageException, TokenizerException):
        assert not calls  # an empty answer, which no version but v1 can write
        assert "".join(_texts(content)) == ""
        return
    message = parse(tokenizer, ids, version=version)
    assert [p.fault for p in message.problems if p.fault != "thinking_not_closed"] == []
    assert message.ended
    assert [call.function.name for call in message.tool_calls or []] == [name for _, name, _ in calls]
    if version in ("v3", "v7", "v11"):
        assert [call.id for call in message.tool_calls or []] == [id for id, _, _ in calls]
    if message.content or message.tool_calls:  # a text of spaces is written as nothing, which cannot be written again
        assert encoded(tokenizer, version, message) == ids


def _texts(content: Any) -> list[str]:
    return [content or ""] if isinstance(content, str | None) else [chunk["text"] for chunk in content]


def test_time_is_linear_in_the_output() -> None:
    """Ten thousand calls: the reference splits recursively and gives up near a thousand."""
    call = [CONTROLS.index("[TOOL_CALLS]"), *ids_of("f"), CONTROLS.index("[ARGS]"), *ids_of("{}")]
    message = parse(tiny("v13"), call * 10_000)
    assert len({call.id for call in message.tool_calls or []}) == 10_000
    deep = "[" * 50_000 + "]" * 50_000
    message = parse(tiny("v3"), [CONTROLS.index("[TOOL_CALLS]"), *ids_of('[{"arguments": ' + deep)])
    assert [problem.fault for problem in message.problems] == ["arguments_cut_off"]


@pytest.mark.parametrize("name", ["v1", "v2", "v3", "v7", "v3-tekken"])
def test_text_of_the_bundled_vocabularies(name: str) -> None:
    tokenizer = Tokenizer.bundled(name)
    for text in ["Hello  world ", "né 🙂\n\n- a", "日本語", " led by a space", ""]:
        assert parse(tokenizer, [*tokenizer.encode(text), tokenizer.eos_id or 2]).content == text
