"""The types of requests, their conversions, and refusals that name the place."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chat_support import ours, png, wav

from mistral_tok import errors
from mistral_tok.chat import schema
from mistral_tok.chat.lines import span_rows, validate_line, validate_lines
from mistral_tok.chat.schema import (
    AssistantMessage,
    ChatCompletionRequest,
    Function,
    FunctionCall,
    ImageChunk,
    SystemMessage,
    TextChunk,
    ThinkChunk,
    Tool,
    ToolCall,
    ToolMessage,
    UserMessage,
)

HI = [{"role": "user", "content": "Hi"}]


def user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


WRONG: list[tuple[Any, str, type[Exception]]] = [
    (user([{"type": "text", "text": 5}]), "$.messages[0].content[0].text", ValueError),
    (user([{"type": "text"}]), "$.messages[0].content[0]", KeyError),
    (user([{"text": "x"}]), "$.messages[0].content[0]", ValueError),
    (user([{"type": "zz"}]), "$.messages[0].content[0].type", ValueError),
    (user([{"type": "image", "image": "x"}]), "$.messages[0].content[0].type", ValueError),
    (user([{"type": "thinking", "thinking": "x"}]), "$.messages[0].content[0].type", ValueError),
    (user(["x"]), "$.messages[0].content[0]", ValueError),
    (user(5), "$.messages[0].content", ValueError),
    (
        user([{"type": "image_url", "image_url": {"url": "x", "z": 1}}]),
        "$.messages[0].content[0].image_url",
        ValueError,
    ),
    (user([{"type": "input_audio", "input_audio": ""}]), "$.messages[0].content[0]", ValueError),
    ({"messages": [{"role": "user"}]}, "$.messages[0]", KeyError),
    ({"messages": [{"role": "foo", "content": "x"}]}, "$.messages[0].role", ValueError),
    ({"messages": [{"content": "x"}]}, "$.messages[0]", ValueError),
    ({"messages": [{"role": "tool", "content": "x"}]}, "$.messages[0]", KeyError),
    ({"messages": HI, "temperature": 2}, "$.temperature", ValueError),
    ({"messages": HI, "tools": [{"type": "function"}]}, "$.tools[0]", ValueError),
    ({"messages": HI, "tools": [{"type": "web", "function": {"name": "f"}}]}, "$.tools[0].type", ValueError),
    ({"messages": HI, "response_format": {"type": "json_schema"}}, "$.response_format", ValueError),
    ({"messages": HI, "seed": 1, "random_seed": 1}, "$.seed", ValueError),
    ({"messages": "x"}, "$.messages", ValueError),
    ({}, "$", KeyError),
    (
        {
            "messages": [
                *HI,
                {"role": "assistant", "tool_calls": [{"id": None, "function": {"name": "f", "arguments": ""}}]},
            ]
        },
        "$.messages[1].tool_calls[0].id",
        ValueError,
    ),
    (
        {"messages": [*HI, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": [1]}}]}]},
        "$.messages[1].tool_calls[0].function",
        ValueError,
    ),
    ("{", "$", ValueError),
]


@pytest.mark.parametrize(("request_", "path", "kind"), WRONG, ids=[path for _, path, _ in WRONG])
def test_wrong_shapes_are_refused_with_a_path(request_: Any, path: str, kind: type[Exception]) -> None:
    with pytest.raises(schema.InvalidShapeException) as caught:
        ours("v13").encode_chat_completion(request_)
    assert caught.value.path == path and path in str(caught.value)
    assert isinstance(caught.value, kind) and isinstance(caught.value, errors.InvalidRequestException)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.path) == (str(caught.value), path)


def test_objects_are_checked_again_when_they_are_encoded() -> None:
    message = UserMessage(content="a")
    message.content = 5  # type: ignore[assignment]
    with pytest.raises(schema.InvalidShapeException, match=r"\$\.messages\[0\]\.content"):
        ours("v7").encode_chat_completion([message])
    message.content = [ThinkChunk(thinking="t")]  # type: ignore[list-item]
    with pytest.raises(schema.InvalidShapeException, match=r"content\[0\]\.type"):
        ours("v7").encode_chat_completion([message])
    with pytest.raises(schema.InvalidShapeException, match="object"):
        ours("v7").encode_chat_completion(object())


def test_every_way_to_give_a_conversation() -> None:
    expected = ours("v3").encode_chat_completion(HI).tokens
    whole = {"messages": HI, "model": "m"}
    ways = [
        whole,
        b'{"messages": [{"role": "user", "content": "Hi"}]}',
        '{"messages": [{"role": "user", "content": "Hi"}]}',
        [UserMessage(content="Hi")],
        (UserMessage(content="Hi"),),
        ChatCompletionRequest(messages=[UserMessage(content="Hi")]),
        ChatCompletionRequest(messages=HI),  # type: ignore[arg-type]
        ChatCompletionRequest.from_openai(messages=HI),
        ChatCompletionRequest.from_openai(whole),
        ChatCompletionRequest.from_openai(b'{"messages": [{"role": "user", "content": "Hi"}]}'),
        [{"role": schema.Roles.user, "content": "Hi"}],
        [{"role": "user", "content": [{"type": schema.ChunkTypes.text, "text": "Hi"}]}],
    ]
    for way in ways:
        assert ours("v3").encode_chat_completion(way).tokens == expected, way


def test_mixed_messages_and_tools() -> None:
    spec = {"type": "function", "function": {"name": "f", "description": None, "strict": True}}
    tool = Tool(function=Function(name="f", parameters={}))
    tokenizer = ours("v7")
    expected = tokenizer.encode_chat_completion({"messages": HI, "tools": [spec]}).tokens
    for tools in ([spec], [tool], (tool,)):
        for messages in (HI, [UserMessage(content="Hi")], [SystemMessage(content="s"), *HI][1:]):
            assert tokenizer.encode_chat_completion(messages, tools=tools).tokens == expected
    mixed = tokenizer.encode_chat_completion([SystemMessage(content="s"), *HI]).tokens
    assert mixed == tokenizer.encode_chat_completion([{"role": "system", "content": "s"}, *HI]).tokens


def test_functions_are_tools() -> None:
    def now(zone: str) -> str:
        """Tell the time.

        Args:
            zone: a time zone

        """
        return zone

    done = ours("v13").encode_chat_completion(HI, tools=[now])
    assert '"name": "now", "description": "Tell the time."' in done.text


def test_pydantic_objects_are_accepted() -> None:
    from mistral_common.protocol.instruct import messages, request
    from PIL import Image

    chunk = messages.ImageChunk(image=Image.new("RGB", (20, 20)))
    theirs = request.ChatCompletionRequest(
        messages=[
            messages.UserMessage(content=[messages.TextChunk(text="a"), chunk]),
            messages.AssistantMessage(content="b", prefix=True),
        ]
    )
    done = ours("v13-think-mm").encode_chat_completion(theirs)
    assert done.prefix_ids == ours("v13-think-mm").tokenizer.encode("b") and len(done.images) == 1
    assert ours("v3").encode_chat_completion([messages.UserMessage(content="Hi")]).tokens == [1, 3, 16127, 4]


def test_constructor_habits() -> None:
    message = AssistantMessage(
        tool_calls=[ToolCall(id="abcdefghi", function=FunctionCall(name="f", arguments={"a": 1}))]
    )
    assert message.role == schema.Roles.assistant and message.tool_calls[0].function.arguments == '{"a": 1}'
    assert FunctionCall(name="f", arguments=None).arguments == "{}"
    assert ChatCompletionRequest[schema.UATS](messages=[]).messages == []
    copy = message.model_copy(update={"prefix": True})
    assert (copy.prefix, message.prefix) == (True, False)
    assert UserMessage.model_validate({"role": "user", "content": "x"}) == UserMessage(content="x")
    assert UserMessage(content="x").model_dump() == {"role": "user", "content": "x"}
    image = object()
    assert UserMessage(content=[ImageChunk(image=image)]).model_dump()["content"] == [{"type": "image", "image": image}]
    dumped = ChatCompletionRequest(messages=[UserMessage(content="x")]).model_dump(exclude_none=True)
    assert ChatCompletionRequest.model_validate(dumped).messages == [UserMessage(content="x")]
    with pytest.raises(schema.InvalidShapeException, match=r"\$\.name"):
        UserMessage.model_validate({"content": "x", "name": "y"})
    with pytest.raises(TypeError):
        UserMessage("x")  # type: ignore[call-arg, misc]
    continued = ChatCompletionRequest(
        messages=[UserMessage(content="a"), AssistantMessage(content="b")], continue_final_message=True
    )
    assert continued.messages[-1].prefix  # type: ignore[union-attr]
    with pytest.raises(errors.InvalidMessageStructureException):
        ChatCompletionRequest(messages=[UserMessage(content="a")], continue_final_message=True)


def test_the_request_is_not_changed() -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, *HI]
    request = ChatCompletionRequest.from_openai(messages)
    before = pickle.dumps((messages, request))
    ours("v3").encode_chat_completion(messages, repair=True, report=True)
    ours("v3").encode_chat_completion(request)
    assert pickle.dumps((messages, request)) == before


def test_to_openai_and_back() -> None:
    request = ChatCompletionRequest(
        messages=[
            SystemMessage(content="s"),
            UserMessage(content=[TextChunk(text="a"), ImageChunk(image=png(20, 20))]),
            AssistantMessage(
                content=[ThinkChunk(thinking="t"), TextChunk(text="b")],
                tool_calls=[ToolCall(id="abcdefghi", function=FunctionCall(name="f", arguments="{}"))],
            ),
            ToolMessage(content="r", tool_call_id="abcdefghi"),
        ],
        tools=[Tool(function=Function(name="f", parameters={}))],
        tool_choice="any",
        random_seed=3,
    )
    out = request.to_openai(stream=True)
    assert list(out) == [
        "temperature",
        "top_p",
        "response_format",
        "seed",
        "continue_final_message",
        "messages",
        "tools",
        "parallel_tool_calls",
        "tool_choice",
        "stream",
    ]
    assert (out["seed"], out["tool_choice"], out["continue_final_message"]) == (3, "required", False)
    again = ChatCompletionRequest.from_openai(**out)
    tokenizer = ours("v15-think-mm")
    assert tokenizer.encode_chat_completion(again).tokens == tokenizer.encode_chat_completion(request).tokens
    assert request.messages[2].to_openai("reasoning")["reasoning"] == "t"  # type: ignore[union-attr, call-arg]
    with pytest.raises(ValueError, match="seed"):
        request.to_openai(seed=1)
    with pytest.raises(NotImplementedError):
        request.model_copy(update={"truncate_for_context_length": True}).to_openai()


def test_lines_are_reported_with_path_and_reason() -> None:
    lines = [
        '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}',
        "",
        '{"messages": [{"role": "user", "content": "a"}]}',
        '{"messages": [{"role": "user", "content": 5}]}',
        "not json",
        '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0.5}]}',
    ]
    found = list(validate_lines(ours("v7", "finetuning"), lines))
    assert [(r.number, r.error, r.path) for r in found] == [
        (1, None, None),
        (3, "InvalidMessageStructureException", "$.messages[0]"),
        (4, "InvalidShapeException", "$.messages[0].content"),
        (5, "InvalidShapeException", "$"),
        (6, "InvalidAssistantMessageException", "$.messages[1].weight"),
    ]
    assert (found[0].ids, found[0].learnt) == (6, 2)
    assert "\n" not in "".join(map(str, found))
    assert validate_line(ours("v7", "finetuning"), lines[0]).error is None


def test_span_rows() -> None:
    done = ours("v13").encode_chat_completion(HI)
    rows = span_rows(done, ours("v13"))
    assert "".join(row["text"] for row in rows) == done.text == "<s>[INST]Hi[/INST]"


def test_imports_stay_light() -> None:
    heavy = "pydantic mistral_common torch transformers huggingface_hub click rich jsonschema numpy PIL"
    code = (
        "import sys, mistral_tok.mistral as m\n"
        "t = m.MistralTokenizer.v3()\n"
        "t.encode_chat_completion([{'role': 'user', 'content': 'x'}])\n"
        f"print([n for n in {heavy.split()!r} if n in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_files_that_are_none(tmp_path: Path) -> None:
    from mistral_tok.mistral import MistralTokenizer

    for content in (None, b"", b"{}", b"\x00" * 99):
        path = tmp_path / "tekken.json"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(errors.TokenizerException) as caught:
            MistralTokenizer.from_file(path)
        assert isinstance(caught.value, errors.VocabularyError) and "tekken.json" in str(caught.value)


def test_from_pretrained_reads_local_folders() -> None:
    from chat_support import variant_path

    from mistral_tok.mistral import MistralTokenizer

    tokenizer = MistralTokenizer.from_pretrained(variant_path("v13", entries=3000).parent, mode="serving")
    assert (tokenizer.version, tokenizer.mode) == ("v13", "serving")
    assert tokenizer.instruct_tokenizer.tokenizer.n_words == 4000


def test_types_are_found_in_the_package() -> None:
    import mistral_tok.chat as chat

    assert chat.UserMessage is UserMessage
    with pytest.raises(AttributeError):
        chat.Nothing  # noqa: B018


def test_recordings_are_uploads_in_openai_forms() -> None:
    import base64
    import io

    data = base64.b64decode(wav(1600, 16000, 1))
    request = schema.TranscriptionRequest.from_openai({"file": io.BytesIO(data), "language": "en", "seed": 3, "x": 1})
    assert (request.language, request.random_seed, base64.b64decode(request.audio)) == ("en", 3, data)
    form = request.to_openai(model="m", exclude=("top_p",))
    assert (form["file"].name, form["file"].read(), form["seed"], form["model"]) == ("audio.wav", data, 3, "m")
    assert not {"id", "streaming", "max_tokens", "top_p", "audio"} & form.keys()
    with pytest.raises(schema.MissingFieldException):
        schema.TranscriptionRequest.from_openai({})
    speech = schema.SpeechRequest.from_openai({"input": "x", "voice": {"id": "v"}, "ref_audio": data})
    assert speech.voice == "v" and speech.to_openai()["ref_audio"].name == "audio.wav"
    with pytest.raises(schema.InvalidShapeException, match="ref_audio"):
        schema.SpeechRequest.from_openai({"input": "x", "ref_audio": 5})


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("UserMessage", {"role": "user", "content": [{"type": "text", "text": "a"}], "name": "z"}),
        ("SystemMessage", {"role": "system", "content": "a"}),
        ("AssistantMessage", {"role": "assistant", "content": "x", "reasoning": "y", "prefix": True}),
        ("ToolMessage", {"role": "tool", "content": "a", "tool_call_id": "x", "name": "f"}),
        ("TextChunk", {"type": "text", "text": "x"}),
        ("ThinkChunk", {"type": "thinking", "thinking": "x", "closed": False}),
        ("ImageURLChunk", {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}),
        ("AudioURLChunk", {"type": "audio_url", "audio_url": {"url": "u"}}),
        ("AudioChunk", {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
        ("Function", {"name": "f", "strict": None, "other": 2}),
        ("Tool", {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}),
        ("ToolCall", {"id": "abcdefghi", "function": {"name": "f", "arguments": {"a": 1}}}),
    ],
)
def test_each_part_is_read_from_openai(name: str, data: dict[str, Any]) -> None:
    from mistral_common.protocol.instruct import chunk, messages, tool_calls

    theirs = {**vars(chunk), **vars(messages), **vars(tool_calls)}[name]
    found = getattr(schema, name).from_openai(data)
    assert type(found) is getattr(schema, name)
    assert found.model_dump() == theirs.from_openai(data).model_dump()


def test_parts_of_another_kind_are_refused() -> None:
    with pytest.raises(schema.InvalidShapeException, match="role of a UserMessage"):
        schema.UserMessage.from_openai({"role": "assistant", "content": "a"})
    with pytest.raises(schema.MissingFieldException, match="role"):
        schema.UserMessage.from_openai({"content": "a"})
    weighted = schema.FinetuningAssistantMessage.from_openai({"role": "assistant", "content": "a"})
    assert type(weighted) is schema.FinetuningAssistantMessage


def test_requests_as_json() -> None:
    request = schema.ChatCompletionRequest(messages=[{"role": "user", "content": "é"}])  # type: ignore[list-item]
    again = schema.ChatCompletionRequest.model_validate_json(request.model_dump_json())
    assert again == request
    assert again.model_copy(deep=True).messages[0] is not again.messages[0]
    assert again.model_copy().messages[0] is again.messages[0]


def test_what_no_conversion_survives_is_refused_with_its_place() -> None:
    from mistral_tok.chat.convert import accept

    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    call = {"id": "abcdefghi", "function": {"name": "f", "arguments": deep}}
    for messages, path in (
        ([{"role": "user", "content": deep}], "$.messages[0].content"),
        ([{"role": "assistant", "tool_calls": [call]}], "$.messages[0].tool_calls[0].function"),
        ([{"role": "user", "content": "a"}, {"role": "\ud800", "content": "a"}], "$.messages[1].role"),
        ("\ud800", "$"),
    ):
        with pytest.raises(schema.InvalidShapeException) as refused:
            accept({"messages": messages} if messages != "\ud800" else messages)
        assert refused.value.path.startswith(path)


def test_messages_of_errors_stay_short() -> None:
    with pytest.raises(schema.InvalidShapeException) as refused:
        schema.UserMessage.from_openai({"role": "x" * 100_000, "content": "a"})
    assert len(str(refused.value)) < 500
