"""Constructors check what they are given, as those of mistral-common do; names that its users import."""

from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chat_support import ours

import mistral_tok
from mistral_tok import (
    AssistantMessage,
    ChatCompletionRequest,
    FIMRequest,
    FinetuningAssistantMessage,
    Function,
    FunctionCall,
    InvalidShapeException,
    MissingFieldException,
    MistralTokenizer,
    ReasoningEffort,
    Roles,
    SpecialTokenPolicy,
    SpecialTokens,
    SystemMessage,
    TextChunk,
    TokenizerException,
    TokenizerVersion,
    Tool,
    ToolCall,
    ToolMessage,
    UserMessage,
)

HI = UserMessage(content="Hi")

WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (UserMessage, {"content": None}, "$.content"),
    (UserMessage, {"content": 5}, "$.content"),
    (UserMessage, {"content": [TextChunk(text="a"), {"type": "thinking", "thinking": "t"}]}, "$.content[1].type"),
    (UserMessage, {"content": [{"type": "text", "text": 5}]}, "$.content[0].text"),
    (UserMessage, {"content": "a", "role": "system"}, "$.role"),
    (UserMessage, {"content": "a", "name": "b"}, "$.name"),
    (AssistantMessage, {"content": "a", "weight": 1}, "$.weight"),
    (FinetuningAssistantMessage, {"content": "a", "weight": "x"}, "$.weight"),
    (ToolMessage, {"content": "a", "tool_call_id": 5}, "$.tool_call_id"),
    (ToolCall, {"function": {"name": 5, "arguments": "{}"}}, "$.function.name"),
    (Tool, {"function": {"name": "f", "parameters": {}, "extra": 1}}, "$.function.extra"),
    (ChatCompletionRequest, {"messages": [HI], "temperature": 2}, "$.temperature"),
    (ChatCompletionRequest, {"messages": [HI], "top_p": -0.1}, "$.top_p"),
    (ChatCompletionRequest, {"messages": [HI], "max_tokens": -1}, "$.max_tokens"),
    (ChatCompletionRequest, {"messages": [HI], "reasoning_effort": "huge"}, "$.reasoning_effort"),
    (ChatCompletionRequest, {"messages": [HI], "stream": True}, "$.stream"),
    (ChatCompletionRequest, {"messages": [HI, 5]}, "$.messages[1]"),
    (ChatCompletionRequest, {"messages": [HI, {"role": "user", "content": 5}]}, "$.messages[1].content"),
    (ChatCompletionRequest, {"messages": "a"}, "$.messages"),
    (ChatCompletionRequest, {"messages": [HI], "tools": [{"function": {"name": "f"}}]}, "$.tools[0].function"),
]


@pytest.mark.parametrize(("kind", "fields", "path"), WRONG)
def test_wrong_fields_are_refused_with_their_path(kind: Any, fields: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidShapeException) as caught:
        kind(**fields)
    assert caught.value.path == path and isinstance(caught.value, ValueError)
    with pytest.raises(InvalidShapeException):
        kind.model_validate(fields)


@pytest.mark.parametrize(("kind", "fields"), [(FIMRequest, {"suffix": "b"}), (Function, {"name": "f"}), (Tool, {})])
def test_missing_fields(kind: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(MissingFieldException):
        kind(**fields)
    with pytest.raises(TypeError):
        kind("positional")


def test_what_is_given_may_be_dicts_enums_and_the_kind_itself() -> None:
    assert UserMessage(role="user", content="Hi") == UserMessage(role=Roles.user, content="Hi") == HI
    assert TextChunk(type="text", text="a") == TextChunk(text="a")
    assert UserMessage(content=[{"type": "text", "text": "a"}]).content == [TextChunk(text="a")]
    call = {"id": "abcdefghi", "function": {"name": "f", "arguments": {"a": 1}}}
    message = AssistantMessage(tool_calls=[call])
    assert message.tool_calls == [ToolCall(id="abcdefghi", function=FunctionCall(name="f", arguments='{"a": 1}'))]
    request = ChatCompletionRequest(messages=[HI], reasoning_effort=ReasoningEffort.high)
    assert request.reasoning_effort == "high" and request.messages[0] is HI


def test_a_request_keeps_its_objects() -> None:
    weighted = FinetuningAssistantMessage(content="b", weight=0)
    tool = Tool(function=Function(name="f", parameters={}))
    request = ChatCompletionRequest(messages=(HI, weighted), tools=[tool])
    assert request.messages[1] is weighted and request.tools is not None and request.tools[0] is tool
    for again in (copy.copy(request), copy.deepcopy(request), pickle.loads(pickle.dumps(request))):
        assert again == request and type(again.messages[1]) is FinetuningAssistantMessage
    mask = ours("v3", "finetuning").encode_chat_completion(request).assistant_mask
    assert not any(mask)


def test_pydantic_objects_inside_of_our_own() -> None:
    from mistral_common.protocol.instruct import messages, tool_calls

    theirs = messages.UserMessage(content=[messages.TextChunk(text="Hi")])
    request = ChatCompletionRequest(
        messages=[SystemMessage(content=[messages.TextChunk(text="s")]), theirs],
        tools=[tool_calls.Tool(function=tool_calls.Function(name="f", parameters={}))],
    )
    assert request.messages[1] == UserMessage(content=[TextChunk(text="Hi")])
    assert request == ChatCompletionRequest(
        messages=[
            SystemMessage(content=[TextChunk(text="s")]),
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        ],
        tools=[{"function": {"name": "f", "parameters": {}}}],
    )


def test_dumps_leave_out_none_at_every_depth() -> None:
    request = ChatCompletionRequest(messages=[AssistantMessage(content="a")])
    assert request.model_dump(exclude_none=True)["response_format"] == {"type": "text"}
    assert request.model_dump(exclude_none=True)["messages"] == [{"role": "assistant", "content": "a", "prefix": False}]
    assert request.model_dump()["response_format"] == {"type": "text", "json_schema": None}


def test_names_are_those_of_mistral_common() -> None:
    from mistral_common.tokens.tokenizers import base

    assert {t.name: t.value for t in SpecialTokens} == {t.name: t.value for t in base.SpecialTokens}
    assert [v.value for v in TokenizerVersion] == [v.value for v in base.TokenizerVersion]
    for a in TokenizerVersion:
        ordered = [(a < b, a <= b, a > b, a >= b, a == b) for b in TokenizerVersion]
        theirs = base.TokenizerVersion(a.value)
        assert ordered == [
            (theirs < b, theirs <= b, theirs > b, theirs >= b, theirs == b) for b in base.TokenizerVersion
        ]
        assert a.supports_model_settings == theirs.supports_model_settings and a.version_num == theirs.version_num
    assert TokenizerVersion.v7 < "v11" and sorted(TokenizerVersion)[-1] == "v15"
    assert SpecialTokenPolicy.validate("keep") is SpecialTokenPolicy.KEEP
    with pytest.raises(ValueError, match="'bogus'"):
        SpecialTokenPolicy.validate("bogus")


def test_versions_of_tokenizers_are_ordered() -> None:
    version = ours("v13").version
    assert version == "v13" and version > TokenizerVersion.v7 and f"{version}" == "v13"
    assert ours("v13").instruct_tokenizer.tokenizer.version is version


def test_models_of_former_times(monkeypatch: pytest.MonkeyPatch) -> None:
    from mistral_common.tokens.tokenizers import mistral

    from mistral_tok.chat.names import VOCABULARY_OF_MODEL
    from mistral_tok.load import bundled_path

    opened = classmethod(lambda cls, path, mode: Path(path).name)
    monkeypatch.setattr(mistral.MistralTokenizer, "from_file", opened)
    files = {model: make() for model, make in mistral.MODEL_NAME_TO_TOKENIZER_CLS.items()}
    assert files == {model: Path(bundled_path(name)).name for model, name in VOCABULARY_OF_MODEL.items()}
    with pytest.warns(FutureWarning, match="from_file"):
        assert MistralTokenizer.from_model("mistral-large-2411").tokenizer.name == "v7"
    with pytest.warns(FutureWarning), pytest.raises(TokenizerException, match="nope"):
        MistralTokenizer.from_model("nope")
    with pytest.warns(FutureWarning), pytest.raises(ValueError, match="strict"):
        MistralTokenizer.from_model("mistral-large-2411", strict=False)


def test_every_name_is_there() -> None:
    for name in mistral_tok.__all__:
        assert getattr(mistral_tok, name) is not None
