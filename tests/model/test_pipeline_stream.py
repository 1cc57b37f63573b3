"""Streams: events as they come, their order, and what is left when a stream is closed early."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from mistral_tok.model import MistralForCausalLM

from mistral_tok import InvalidRequestException, MistralTokenizer
from mistral_tok.chat.events import (
    ArgumentsDelta,
    CallBegun,
    CallComplete,
    CallResult,
    End,
    Finish,
    Problem,
    TextDelta,
    ThinkingDelta,
    join,
)
from mistral_tok.pipelines import OfficialPrompts, TextGenerationPipeline, pipeline
from mistral_tok.pipelines.answer import Answer, PlainText
from mistral_tok.pipelines.prompts import Prompt
from mistral_tok.pipelines.toolbox import Toolbox

from .places import KNOWN, TINY

CAPITAL = KNOWN["capital"]["messages"]
WEATHER = KNOWN["weather"]


def get_weather(city: str) -> dict[str, Any]:
    """Tell the weather in a city.

    Args:
        city: Name of the city

    """
    return {"temperature": 21, "sky": "clear"}


def test_text_comes_token_by_token_and_ends_with_the_counts(tiny: TextGenerationPipeline) -> None:
    tiny.runner.forget()
    events = list(tiny(CAPITAL[:1], stream=True))
    *texts, end, finish = events
    assert all(isinstance(event, TextDelta) for event in texts) and len(texts) > 20
    assert "".join(event.text for event in texts) == CAPITAL[1]["content"]
    prompt = len(tiny.prompts.chat(CAPITAL[:1], None, False, {}).ids)
    assert end == End()
    assert finish == Finish(reason="stop", prompt_tokens=prompt, completion_tokens=len(texts) + 1)
    assert list(tiny(CAPITAL[:1], stream=True))[-1].cached_tokens == prompt - 1


def test_characters_of_several_tokens_come_when_they_are_complete(tiny: TextGenerationPipeline) -> None:
    asked, told = KNOWN["languages"]["messages"]
    texts = [event.text for event in tiny([asked], stream=True) if isinstance(event, TextDelta)]
    assert "".join(texts) == told["content"] and "🌅" in texts
    assert len(texts) < len(tiny.tokenizer.encode(told["content"]))


def test_a_text_streams_too(tiny: TextGenerationPipeline) -> None:
    stream = tiny("The capital of France is", stream=True, max_new_tokens=3)
    assert [event.text for event in stream if isinstance(event, TextDelta)] == [" Paris", ".", " It"]
    assert stream.generated_text == "The capital of France is Paris. It"
    last = list(tiny("The capital of France is", stream=True, max_new_tokens=3))[-1]
    assert (last.reason, last.completion_tokens) == ("length", 3)


@pytest.mark.parametrize("stop", ["is Paris", "river Seine, and", "The", "live there.", "e"])
def test_nothing_of_a_stop_string_is_ever_said(tiny: TextGenerationPipeline, stop: str) -> None:
    *events, finish = tiny(CAPITAL[:1], stream=True, stop_strings=stop)
    said = ""
    for event in events:
        said += event.text
        assert CAPITAL[1]["content"].partition(stop)[0].startswith(said)
    assert said == CAPITAL[1]["content"].partition(stop)[0]
    assert (finish.reason, finish.stop) == ("stop", stop)
    # Held back is what might be the beginning of the string, and no more.
    if stop == "river Seine, and":
        assert "Paris" in [event.text.strip() for event in events]


def test_a_call_grows_and_ends(tiny: TextGenerationPipeline) -> None:
    stream = tiny(WEATHER["messages"][:1], tools=WEATHER["tools"], stream=True)
    begun, *deltas, complete, end, finish = stream
    assert begun == CallBegun(index=0, name="get_weather")
    assert all(isinstance(event, ArgumentsDelta) for event in deltas) and len(deltas) > 3
    assert "".join(event.text for event in deltas) == complete.arguments == '{"city": "Paris"}'
    assert (complete.id, complete.value) == ("w9aXk2LqZ", {"city": "Paris"})
    assert (end, finish.reason) == (End(), "tool_calls")
    assert stream.generated_text == WEATHER["messages"][:2]


def test_results_and_the_next_answer_follow(tiny: TextGenerationPipeline) -> None:
    stream = tiny(WEATHER["messages"][:1], tools=[get_weather], run_tools=True, stream=True)
    events = list(stream)
    finishes = [event for event in events if isinstance(event, Finish)]
    assert [event.reason for event in finishes] == ["tool_calls", "stop"]
    assert finishes[1].cached_tokens == finishes[0].prompt_tokens + finishes[0].completion_tokens - 1
    result = next(event for event in events if isinstance(event, CallResult))
    assert (result.content, result.failed) == (WEATHER["messages"][2]["content"], False)
    assert stream.generated_text == WEATHER["messages"]


def test_closing_keeps_what_was_said_and_the_cache(tiny: TextGenerationPipeline) -> None:
    expected = CAPITAL[1]["content"]
    tiny.runner.forget()
    for count in (0, 1, 5):
        with tiny(CAPITAL[:1], stream=True) as stream:
            said = "".join(next(stream).text for _ in range(count))
        assert expected.startswith(said)
        messages = [*CAPITAL[:1], {"role": "assistant", "content": said}] if count else CAPITAL[:1]
        assert stream.generated_text == messages
        assert list(stream) == []
    *_, finish = again = list(tiny(CAPITAL[:1], stream=True))
    assert join(again).content == expected
    assert finish.cached_tokens == finish.prompt_tokens - 1
    continued = list(tiny([*CAPITAL[:1], {"role": "assistant", "content": said}], stream=True))
    assert said + str(join(continued).content) == expected
    assert continued[-1].cached_tokens == continued[-1].prompt_tokens - 1


def test_a_stream_is_of_one_answer(tiny: TextGenerationPipeline) -> None:
    for inputs, options in (([CAPITAL[:1]], {}), (["Hello"], {}), ("Hello", {"num_return_sequences": 2})):
        with pytest.raises(InvalidRequestException):
            tiny(inputs, stream=True, do_sample=True, **options)
    with pytest.raises(InvalidRequestException):
        tiny(CAPITAL[:0] or [{}, 3], stream=True)


# Answers of other formats, from ids that a model could have written.


def answer_of(version: str, ids: Sequence[int], stops: Sequence[str] = (), **options: Any) -> list[Any]:
    """The events of an output that ends with EOS, its ids given one by one."""
    tokenizer = tekken(version)
    eos = tokenizer.tokenizer.eos_id
    answer = Answer(tokenizer.stream_parser(), Prompt([1], []), eos_id=eos, stop_strings=stops, **options)
    events = [event for id in ids for event in answer.push([id], None)]
    assert eos is not None
    events += answer.push([eos], "stop")
    assert events == answer.events and answer.push([5], None) == []
    return events


def tekken(version: str) -> MistralTokenizer:
    """The Tekken vocabulary on board with the control tokens of later versions."""
    from dataclasses import replace

    from mistral_tok import Tokenizer
    from mistral_tok.load import bundled_path, read

    vocabulary = read(bundled_path("v3-tekken"))
    pieces = list(vocabulary.pieces)
    for i, name in {32: b"[ARGS]", 33: b"[CALL_ID]", 35: b"[THINK]", 36: b"[/THINK]"}.items():
        pieces[i] = name
    found = replace(vocabulary, pieces=tuple(pieces), version=version)
    return MistralTokenizer(Tokenizer.from_vocabulary(found), version=version)


@pytest.fixture(scope="module")
def v13() -> Iterator[MistralTokenizer]:
    yield tekken("v13")


def test_thoughts_and_calls_of_version_13(v13: MistralTokenizer) -> None:
    names, encode = v13.tokenizer.special_names, v13.tokenizer.encode
    ids = [
        names["[THINK]"], *encode("Hm END"), names["[/THINK]"], *encode("Let me see."),
        names["[TOOL_CALLS]"], *encode("get_weather"), names["[ARGS]"], *encode('{"city": "END"}'),
        names["[TOOL_CALLS]"], *encode("get_time"), names["[ARGS]"], *encode("{}"),
    ]  # fmt: skip
    events = answer_of("v13", ids, ["END", "see. "], toolbox=Toolbox([get_weather]))
    kinds = list(dict.fromkeys(type(event) for event in events))
    order = [ThinkingDelta, TextDelta, CallBegun, ArgumentsDelta, CallComplete, Problem, End, Finish]
    assert kinds == order
    assert events[-1].reason == "tool_calls"
    assert [event.fault for event in events if isinstance(event, Problem)] == ["unknown_tool"]
    # Neither thoughts nor arguments are text: a stop string in them stops nothing; what is held back is said first.
    message = join(events)
    assert [chunk.type for chunk in message.content] == ["thinking", "text"]
    assert message.content[1].text == "Let me see."


@pytest.mark.parametrize("version", ["v2", "v3", "v7", "v3-tekken", "v11", "v13"])
def test_calls_of_every_version_come_out_as_they_went_in(version: str) -> None:
    tokenizer = tekken(version) if version in ("v11", "v13") else MistralTokenizer.bundled(version)
    learning = MistralTokenizer(tokenizer.tokenizer, "finetuning", version=tokenizer.version)
    call = {"id": "abcdefghi", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Köln"}'}}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    done = learning.encode_chat_completion([*CAPITAL[:1], message])
    ids = [id for id, learnt in zip(done.tokens, done.assistant_mask, strict=True) if learnt]
    prompts = OfficialPrompts(tokenizer)
    answer = Answer(prompts.parser(), Prompt([1], []), eos_id=ids[-1], toolbox=Toolbox([get_weather]))
    for id in ids[:-1]:
        answer.push([id], None)
    answer.push(ids[-1:], "stop")
    made = answer.message(None)
    if tokenizer.version in ("v2", "v13"):  # whose layouts have no ids
        made["tool_calls"][0]["id"] = call["id"]
    assert made == message
    assert isinstance(answer.events[-1], Finish) and answer.events[-1].reason == "tool_calls"
    assert "".join(e.text for e in answer.events if isinstance(e, ArgumentsDelta)) == '{"city": "Köln"}'


def test_a_stop_string_does_not_reach_across_a_control_token(v13: MistralTokenizer) -> None:
    encode = v13.tokenizer.encode
    events = answer_of("v13", [*encode("a ST"), 999, *encode("OP b STOP c")], ["STOP"])
    said = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert said == f"a ST{v13.tokenizer.piece(999)}OP b "
    assert events[-1].stop == "STOP"


def test_an_incomplete_character_at_the_end_is_said(v13: MistralTokenizer) -> None:
    ids = v13.tokenizer.encode("🦙")
    assert len(ids) > 1
    answer = Answer(PlainText(v13.tokenizer), Prompt([1], []), eos_id=None)
    assert answer.push(ids[:-1], None) == []
    *_, finish = answer.push(ids[:1], "length")
    assert set(answer.text) == {"\ufffd"} and finish.reason == "length"


def test_a_stop_id_of_the_callers_is_no_text(v13: MistralTokenizer) -> None:
    answer = Answer(v13.stream_parser(), Prompt([1], []), eos_id=v13.tokenizer.eos_id)
    comma = v13.tokenizer.encode(",")
    text, end, finish = answer.push([*v13.tokenizer.encode("Hi"), *comma], "stop")
    assert (text.text, end, finish.completion_tokens) == ("Hi", End(), 2)


def test_streams_of_untrained_models_can_be_joined() -> None:
    """Whatever a model says, the stream and the whole answer are the same."""
    model = MistralForCausalLM.from_pretrained(TINY)
    pipe = pipeline(model=model, tokenizer=TINY)
    for seed in range(8):
        options = {"do_sample": True, "temperature": 8.0, "seed": seed, "max_new_tokens": 60}
        stream = pipe(WEATHER["messages"][:1], tools=WEATHER["tools"], stream=True, **options)
        events = list(stream)
        assert isinstance(events[-1], Finish)
        assert pipe(WEATHER["messages"][:1], tools=WEATHER["tools"], **options)[0]["generated_text"] == (
            stream.generated_text
        )
