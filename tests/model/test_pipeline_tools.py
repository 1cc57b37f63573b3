"""The loop of calls and results: functions run, faults told to the model, bounds kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
from mistral_tok.model import MistralForCausalLM

import mistral_tok
from mistral_tok.chat.events import CallComplete, CallResult, Finish, Problem
from mistral_tok.errors import InvalidToolException, InvalidToolSchemaException
from mistral_tok.pipelines import TextGenerationPipeline, pipeline
from mistral_tok.pipelines.toolbox import Toolbox

from .places import KNOWN, TINY

WEATHER = KNOWN["weather"]
ASKED = WEATHER["messages"][:1]


def get_weather(city: str) -> dict[str, Any]:
    """Tell the weather in a city.

    Args:
        city: Name of the city

    """
    return {"temperature": 21, "sky": "clear"}


def test_a_function_is_described_as_the_schema_that_was_learnt() -> None:
    described = mistral_tok.chat.tools.tool_from_callable(get_weather)["function"]
    del described["return"]
    assert described == WEATHER["tools"][0]["function"]


def test_the_whole_way(tiny: TextGenerationPipeline) -> None:
    assert tiny(ASKED, tools=[get_weather])[0]["generated_text"] == WEATHER["messages"][:2]
    assert tiny(ASKED, tools=[get_weather], run_tools=True)[0]["generated_text"] == WEATHER["messages"]


def test_many_conversations_go_their_own_ways(tiny: TextGenerationPipeline) -> None:
    france = KNOWN["capital"]["messages"]
    single = [tiny(row, tools=[get_weather], run_tools=True)[0] for row in (ASKED, france[:1], ASKED)]
    together = tiny([ASKED, france[:1], ASKED], tools=[get_weather], run_tools=True)
    assert [row[0] for row in together] == single
    drawn = tiny(ASKED, tools=[get_weather], run_tools=True, num_return_sequences=2, do_sample=True, top_k=1, seed=1)
    assert [record["generated_text"] for record in drawn] == [WEATHER["messages"]] * 2


def test_a_schema_without_a_function_leaves_the_call_to_the_caller(tiny: TextGenerationPipeline) -> None:
    found = tiny(ASKED, tools=WEATHER["tools"], run_tools=True)[0]["generated_text"]
    assert found == WEATHER["messages"][:2]
    done = tiny([*found, WEATHER["messages"][2]], tools=WEATHER["tools"])[0]["generated_text"]
    assert done == WEATHER["messages"]


def test_rounds_are_bounded(tiny: TextGenerationPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that calls the tool again and again is stopped."""
    calls = 0

    def counted(city: str) -> str:
        nonlocal calls
        calls += 1
        return city

    counted.__doc__, counted.__name__ = get_weather.__doc__, "get_weather"
    script(tiny, monkeypatch, ['[{"name": "get_weather", "arguments": {"city": "Paris"}}]'] * 9)
    messages = tiny(ASKED, tools=[counted], run_tools=True, max_rounds=3)[0]["generated_text"]
    assert calls == 3
    assert [message["role"] for message in messages] == ["user", *["assistant", "tool"] * 3, "assistant"]
    assert messages[-1]["tool_calls"]


def script(tiny: TextGenerationPipeline, monkeypatch: pytest.MonkeyPatch, outputs: Sequence[str]) -> None:
    """Let the model say these tool calls, or texts, one after the other."""
    tokenizer = tiny.tokenizer
    waiting = iter(outputs)

    def alone(ids: list[int], options: Any, begin: Callable[[int], None]) -> Any:
        begin(0)
        text, bracket, call = next(waiting).partition("[{")
        yield tokenizer.encode(text), None
        if bracket:
            yield [tokenizer.special_names["[TOOL_CALLS]"], *tokenizer.encode(bracket + call)], None
        yield [tokenizer.eos_id], "stop"

    monkeypatch.setattr(tiny.runner, "alone", alone)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ('{"name": "get_weather", "arguments": {"town": "Paris"}}', "'city' is a required property"),
        ('{"name": "get_weather", "arguments": {"city": 3}}', "$.city: 3 is not of type 'string'"),
        ('{"name": "get_weather", "arguments": [1]}', "arguments are an object"),
        ('{"name": "get_wether", "arguments": {}}', "There is no tool 'get_wether'; there are: get_weather."),
    ],
)
def test_what_is_wrong_with_a_call_is_told_to_the_model(
    tiny: TextGenerationPipeline, monkeypatch: pytest.MonkeyPatch, call: str, told: str
) -> None:
    script(tiny, monkeypatch, [f"[{call}]", "I am sorry."])
    stream = tiny(ASKED, tools=[get_weather], run_tools=True, stream=True)
    events = list(stream)
    assert any(isinstance(event, Problem) and told in event.message for event in events)
    messages = stream.generated_text
    assert told in json.loads(messages[2]["content"])["error"]
    assert messages[-1] == {"role": "assistant", "content": "I am sorry."}


@pytest.mark.parametrize("call_id", ["call_1", "a b", "", "123456789"])
def test_ids_that_no_conversation_can_have_are_mended(
    tiny: TextGenerationPipeline, monkeypatch: pytest.MonkeyPatch, call_id: str
) -> None:
    call = f'{{"name": "get_weather", "arguments": {{"city": "Paris"}}, "id": "{call_id}"}}'
    script(tiny, monkeypatch, [f"[{call}, {call}]", "Thanks."])
    messages = tiny(ASKED, tools=[get_weather], run_tools=True)[0]["generated_text"]
    ids = [made["id"] for made in messages[1]["tool_calls"]]
    assert len(set(ids)) == 2 and all(len(made) == 9 and made.isalnum() for made in ids)
    assert [message["tool_call_id"] for message in messages[2:4]] == ids
    assert (ids[0] == call_id) is (call_id == "123456789")
    assert messages[4]["content"] == "Thanks."


@pytest.mark.parametrize(
    "said", ['Wait.[{"name": "get_weather", "arguments": {"city": "Paris"}}]', '[{"name": "a b", "arguments": {}}]']
)
def test_what_cannot_be_written_back_ends_the_loop(
    tiny: TextGenerationPipeline, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    script(tiny, monkeypatch, [said, "never asked for"])
    messages = tiny(ASKED, tools=[get_weather], run_tools=True)[0]["generated_text"]
    assert len(messages) == 2 and len(messages[1]["tool_calls"]) == 1


def test_results_that_leave_no_positions_end_the_conversation(tiny: TextGenerationPipeline) -> None:
    said = "It is warm. " * tiny.model.config.max_position_embeddings

    results = [said, said, said, said, get_weather("Paris")]

    def long_weather(city: str) -> Any:
        return results.pop(0)

    long_weather.__doc__, long_weather.__name__ = get_weather.__doc__, "get_weather"
    expected = [*WEATHER["messages"][:2], {**WEATHER["messages"][2], "content": said}]
    options: dict[str, Any] = {"tools": [long_weather], "run_tools": True}
    assert tiny(ASKED, **options)[0]["generated_text"] == expected
    assert tiny(ASKED, **options, return_full_text=False)[0]["generated_text"] == ""
    stream = tiny(ASKED, **options, stream=True)
    finish = list(stream)[-1]
    assert isinstance(finish, Finish) and (finish.reason, finish.completion_tokens) == ("length", 0)
    assert finish.prompt_tokens > tiny.model.config.max_position_embeddings
    assert stream.generated_text == expected
    together = tiny([ASKED, ASKED], **options)  # one beside it goes on
    assert [row[0]["generated_text"] for row in together] == [expected, WEATHER["messages"]]


@pytest.mark.parametrize("error", [ValueError("no such city"), SystemExit(3), RecursionError(), KeyError("x")])
def test_what_a_function_raises_is_told_to_the_model(
    tiny: TextGenerationPipeline, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def get_weather(city: str) -> str:
        raise error

    get_weather.__doc__ = globals()["get_weather"].__doc__
    script(tiny, monkeypatch, ['[{"name": "get_weather", "arguments": {"city": "Paris"}}]', "I am sorry."])
    messages = tiny(ASKED, tools=[get_weather], run_tools=True)[0]["generated_text"]
    assert json.loads(messages[2]["content"]) == {"error": f"{type(error).__name__}: {error}"}
    assert messages[-1]["content"] == "I am sorry."


def test_an_exception_without_words_is_named() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def tool() -> None:
        """Fail."""
        raise Silent

    assert Toolbox([tool]).run(complete("tool", "{}")).content == '{"error": "Silent"}'


def test_ctrl_c_in_a_function_is_not_swallowed(tiny: TextGenerationPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def get_weather(city: str) -> str:
        raise KeyboardInterrupt

    get_weather.__doc__ = globals()["get_weather"].__doc__
    script(tiny, monkeypatch, ['[{"name": "get_weather", "arguments": {"city": "Paris"}}]'])
    with pytest.raises(KeyboardInterrupt):
        tiny(ASKED, tools=[get_weather], run_tools=True)


def complete(name: str, arguments: str) -> CallComplete:
    return CallComplete(index=0, name=name, id="123456789", arguments=arguments, value=json.loads(arguments))


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("as it is", "as it is"),
        ({"é": [1, None]}, '{"é": [1, null]}'),
        (None, "null"),
        ({1, 2} and object, None),
        ("a name\udcff", "a name\\udcff"),
        (["\ud800"], '["\\ud800"]'),
    ],
)
def test_results_are_texts(value: Any, content: str | None) -> None:
    def tool() -> Any:
        """Give it."""
        return value

    result = Toolbox([tool]).run(complete("tool", "{}"))
    assert isinstance(result, CallResult) and not result.failed
    assert result.content == (json.dumps(str(value)) if content is None else content)


class Unit(Enum):
    CELSIUS = "C"


@dataclass
class Place:
    city: str
    days: set[int]

    def __post_init__(self) -> None:
        if not self.city:
            raise LookupError("no city")


@pytest.mark.parametrize(
    ("arguments", "content"),
    [
        ('{"place": {"city": "Paris", "days": [1, 2.0]}}', "Place(city='Paris', days={1, 2}) 3 Unit.CELSIUS None"),
        ('{"place": {"city": "P", "days": []}, "n": 4.0, "unit": "C", "span": [1, 2]}',
         "Place(city='P', days=set()) 4 Unit.CELSIUS (1, 2)"),
        ('{"place": {"city": "Paris", "days": []}, "span": [1]}', "ValueError: there are 1 items, and must be 2"),
        ('{"place": {"city": "Paris"}}', "'days' is a required property"),
        ('{"place": {"city": "", "days": []}}', "no city"),
    ],
)  # fmt: skip
def test_functions_get_what_their_hints_say(arguments: str, content: str) -> None:
    def tool(place: Place, /, n: int = 3, *, unit: Unit = Unit.CELSIUS, span: tuple[int, int] | None = None) -> str:
        """Tell.

        Args:
            place: Where
            n: How many
            unit: In what
            span: From and to

        """
        return f"{place} {n} {unit} {span}"

    result = Toolbox([tool]).run(complete("tool", arguments))
    assert content in result.content
    assert result.failed is (result.content != content)


def test_what_is_no_tool_is_refused() -> None:
    async def wait() -> None:
        """Wait."""

    bad = {"type": "function", "function": {"name": "f", "parameters": {"type": "objekt"}}}
    for tools, kind, complaint in (
        ([get_weather, WEATHER["tools"][0]], InvalidToolException, "Two tools are called 'get_weather'"),
        ([wait], InvalidToolException, "coroutine"),
        ([bad], InvalidToolSchemaException, "not a valid schema"),
        ([lambda: None], InvalidToolException, "has no name"),
    ):
        with pytest.raises(kind, match=complaint):
            Toolbox(tools)


def test_templates_are_given_arguments_as_dicts(tiny: TextGenerationPipeline) -> None:
    source = (
        "{% for m in messages %}{% for call in m.tool_calls or [] %}{{ call.function.arguments | tojson }}{% endfor %}"
        "{{ m.content }}{% endfor %}"
    )
    prompts = pipeline(model=tiny.model, tokenizer=TINY, chat_template=source).prompts
    message = WEATHER["messages"][1]
    odd = {"name": "f", "arguments": "[1"}
    said = [
        {
            **message,
            "tool_calls": [
                *message["tool_calls"],
                {"function": odd},
                {"function": {"name": "g", "arguments": {"a": 1}}},
            ],
        }
    ]
    text = tiny.tokenizer.decode(prompts.chat([*WEATHER["messages"][:1], *said], None, False, {}).ids)
    assert text == WEATHER["messages"][0]["content"] + '{"city": "Paris"}"[1"{"a": 1}'
    assert odd["arguments"] == "[1" and isinstance(message["tool_calls"][0]["function"]["arguments"], str)


def test_without_tools_calls_are_parsed_and_not_judged(
    tiny: TextGenerationPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tiny, monkeypatch, ['[{"name": "anything", "arguments": {}}]'] * 2)
    assert not any(isinstance(event, Problem) for event in tiny(ASKED, stream=True))
    found = tiny(ASKED, run_tools=True)[0]["generated_text"]
    assert found[-1]["tool_calls"][0]["function"] == {"name": "anything", "arguments": "{}"}


def test_a_drawn_answer_never_raises() -> None:
    """Whatever comes out of a model, the loop goes on to its end."""
    pipe = pipeline(model=MistralForCausalLM.from_pretrained(TINY), tokenizer=TINY)
    for seed in range(6):
        options = {"do_sample": True, "temperature": 2.0, "seed": seed, "max_new_tokens": 60, "max_rounds": 2}
        messages = pipe(ASKED, tools=[get_weather], run_tools=True, **options)[0]["generated_text"]
        assert messages[-1]["role"] == "assistant"
