"""Requests: conversations, fill-in-the-middle, transcription, speech."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, NoReturn, Self, TypeVar, cast

from msgspec import UNSET, Meta, UnsetType, field

from mistral_tok.chat.base import Base
from mistral_tok.chat.calls import Tool, ToolChoice
from mistral_tok.chat.chunks import audio_payload
from mistral_tok.chat.messages import (
    AssistantMessage,
    ChatMessage,
    FinetuningMessage,
    ReasoningFieldFormat,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from mistral_tok.chat.refusals import InvalidShapeException
from mistral_tok.chat.strict import strictly

_CODES = (
    "aaabaeafakamanarasavayazbabebgbibmbnbobrbscacechcocrcscucvcydadedvdzeeeleneoeseteufafffifjfofrfygagdglgngugvhahe"
    "hihohrhthuhyhziaidieigiiikioisitiujajvkakgkikjkkklkmknkokrkskukvkwkylalblglilnloltlulvmgmhmimkmlmnmrmsmtmynanbnd"
    "nengnlnnnonrnvnyocojomorospapiplpsptqurmrnrorurwsascsdsesgshsiskslsmsnsosqsrssstsusvswtatetgthtitktltntotrtstttw"
    "tyugukuruzvevivowawoxhyiyozazhzu"
)
LANGUAGES = frozenset(_CODES[i : i + 2] for i in range(0, len(_CODES), 2))
"""Two-letter language codes of ISO 639-1."""


class ValidationMode(StrEnum):
    """What a request is for; it decides which last message is allowed and how strictly calls and results pair."""

    serving = "serving"
    finetuning = "finetuning"
    test = "test"
    agnostic = "agnostic"

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise ValueError(f"`mode` is {value!r}; expected one of {[mode.value for mode in cls]}.")


class SpecialTokenPolicy(StrEnum):
    """What decoding does with control tokens: drop them, show them, or refuse them."""

    IGNORE = "ignore"
    KEEP = "keep"
    RAISE = "raise"

    @classmethod
    def validate(cls, policy: SpecialTokenPolicy | str) -> SpecialTokenPolicy:
        """The policy itself, or the one of this name.

        Raises:
            ValueError: there is no such policy.

        """
        if policy not in list(cls):
            raise ValueError(f"`special_token_policy` is {policy!r}; expected one of {[p.value for p in cls]}.")
        return cls(policy)


class ReasoningEffort(StrEnum):
    """How long the model is to think (v15)."""

    none = "none"
    minimal = "minimal"
    low = "low"
    medium = "medium"
    high = "high"
    xhigh = "xhigh"
    max = "max"


class ResponseFormats(StrEnum):
    """Kinds of answers."""

    text = "text"
    json_object = "json_object"
    json_schema = "json_schema"


T = TypeVar("T")
MESSAGES = (SystemMessage, UserMessage, AssistantMessage, ToolMessage)
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=0)]


class JsonSchema(Base, kw_only=True):
    """A named schema (JSON Schema, draft 7) that the answer is to follow."""

    name: str
    schema: dict[str, Any]
    description: str | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        from mistral_tok.chat.draft7 import problem

        if reason := problem(self.schema):
            raise InvalidShapeException(f"`schema` is not a valid JSON schema: {reason}")

    @property
    def custom_schema(self) -> dict[str, Any]:
        """The schema, under mistral-common's attribute name."""
        return self.schema


class ResponseFormat(Base, kw_only=True):
    """Text, any JSON, or JSON after a schema."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchema | None = None

    def __post_init__(self) -> None:
        if self.type == "json_schema" and self.json_schema is None:
            raise InvalidShapeException("response format `json_schema` needs the key `json_schema`")


class BaseCompletionRequest(Base, kw_only=True):
    """Sampling fields that all requests share; none of them changes an id."""

    temperature: Share = 0.7
    top_p: Share = 1.0
    max_tokens: Count | None = None
    random_seed: Count | None = None


class ChatFields(BaseCompletionRequest, kw_only=True, repr_omit_defaults=True):
    """The fields of a conversation, however it came."""

    model: str | None = None
    messages: list[SystemMessage | UserMessage | AssistantMessage | ToolMessage]
    response_format: ResponseFormat | UnsetType = UNSET
    tools: list[Tool] | None = None
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    truncate_for_context_length: bool = False
    reasoning_effort: Effort | None = None
    continue_final_message: bool | UnsetType = UNSET


class ChatCompletionRequest(ChatFields, kw_only=True):
    """A conversation to be answered.

    Messages, tools and the response format may be given as dicts of the same fields; they are converted.

    >>> request = ChatCompletionRequest(messages=[{"role": "user", "content": "Hi"}])
    >>> request.messages[0]
    UserMessage(content='Hi')
    """

    response_format: ResponseFormat = field(default_factory=ResponseFormat)

    def __class_getitem__(cls, item: Any) -> type[Self]:
        """`ChatCompletionRequest[…]` is the class itself: the message types need not be named."""
        return cls

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """What the constructor does with its keywords; messages and tools that are records already stay the same.

        Raises:
            InvalidShapeException: the error names the path.
            InvalidMessageStructureException: `continue_final_message` without a final assistant message.

        """
        return filled(fields, cls)

    @classmethod
    def from_openai(
        cls,
        messages: Any,
        tools: list[dict[str, Any]] | None = None,
        continue_final_message: Any = False,
        **fields: Any,
    ) -> Self:
        """Build a request from OpenAI's format; unknown keys are dropped.

        `messages` is the list of messages, or the whole request as one dict or as JSON bytes or text.

        Raises:
            InvalidShapeException: with the path of what is wrong.
            InvalidMessageStructureException: `continue_final_message` without a final assistant message.

        >>> ChatCompletionRequest.from_openai([{"role": "developer", "content": "Be brief."}]).messages[0].role
        'system'

        """
        from mistral_tok.chat.openai import from_openai

        return cls(**from_openai(messages, tools, continue_final_message, fields))

    def to_openai(
        self, reasoning_field_format: ReasoningFieldFormat | str | None = None, **extra: Any
    ) -> dict[str, Any]:
        """The request in OpenAI's format, with `extra` fields added.

        Raises:
            ValueError: an extra field is one of the request's own.
            NotImplementedError: `truncate_for_context_length` is set; OpenAI's format has no such thing.

        """
        from mistral_tok.chat.openai import to_openai

        return to_openai(self, reasoning_field_format, extra)


def filled(fields: dict[str, Any], kind: type[T], tools: str = "tools") -> T:
    """A request from keywords: dicts among its messages and tools become records, the others stay the same objects."""
    fields = {name: value for name, value in fields.items() if value is not UNSET}
    given = {name: fields[name] for name in ("messages", tools) if isinstance(fields.get(name), list | tuple)}
    request: Any = strictly(fields | {name: [] for name in given}, kind)
    if "messages" in given:
        request.messages = [
            m if isinstance(m, MESSAGES) else _part(m, ChatMessage, f"$.messages[{i}]")
            for i, m in enumerate(given["messages"])
        ]
    if tools in given:
        parts = [t if isinstance(t, Tool) else _part(t, Tool, f"$.{tools}[{i}]") for i, t in enumerate(given[tools])]
        setattr(request, tools, parts)
    if fields.get("continue_final_message") is not None:
        from mistral_tok.chat.openai import continued, truth

        flag = truth(request.continue_final_message, "$.continue_final_message")
        request.messages = continued(request.messages, flag)
        request.continue_final_message = UNSET
    return cast("T", request)


def _part(value: Any, kind: Any, path: str) -> Any:
    """A record of a request, made of a dict, or of an object (a message of which may have a weight)."""
    if kind is ChatMessage and not isinstance(value, dict):
        kind = FinetuningMessage
    try:
        return strictly(value, kind)
    except InvalidShapeException as error:
        raise type(error)(error.reason, error.path.replace("$", path, 1)) from None


class FIMRequest(BaseCompletionRequest, kw_only=True):
    """Text to be filled in between `prompt` and `suffix`."""

    prompt: str
    suffix: str | None = None


class StreamingMode(StrEnum):
    """How the audio of a transcription arrives."""

    DISABLED = "disabled"
    ONLINE = "online"
    OFFLINE = "offline"


class TranscriptionRequest(BaseCompletionRequest, kw_only=True):
    """A recording (base64 text, data URL, bytes or `{"data": …}`) to be written down."""

    audio: Any
    id: str | None = None
    model: str | None = None
    language: str | None = None
    strict_audio_validation: bool = True
    streaming: Literal["disabled", "online", "offline"] = "disabled"
    target_streaming_delay_ms: int | None = None

    def __post_init__(self) -> None:
        if self.audio == "" or self.audio == b"":
            pass  # no audio yet: streaming begins so; other modes refuse it when they encode
        else:
            self.audio = audio_payload(self.audio, "audio")
        if self.language is not None and self.language not in LANGUAGES:
            raise InvalidShapeException(f"`language` must be a two-letter code of ISO 639-1, got {self.language!r}")
        if self.streaming == "online" and isinstance(self.audio, bytes) and self.audio:
            raise InvalidShapeException("`audio` must be base64 text or empty in online streaming, got bytes")

    @classmethod
    def from_openai(cls, openai_request: dict[str, Any], strict: bool = False) -> TranscriptionRequest:
        """Build a request from the form that OpenAI's clients send; its recording is kept as it was uploaded.

        `strict` has no effect: recordings of several channels are refused when they are encoded.
        """
        from mistral_tok.chat.uploads import transcription_from_openai

        return transcription_from_openai(openai_request)

    def to_openai(self, exclude: tuple[str, ...] = (), **extra: Any) -> dict[str, Any]:
        """The form that OpenAI's clients send, the recording as an open file."""
        from mistral_tok.chat.uploads import transcription_to_openai

        return {k: v for k, v in transcription_to_openai(self, extra).items() if k not in exclude}


class SpeechRequest(BaseCompletionRequest, kw_only=True):
    """Text to be spoken by a named voice, or like a reference recording, which wins when both are given."""

    input: str
    id: str | None = None
    model: str | None = None
    voice: str | None = None
    ref_audio: Any = None

    def __post_init__(self) -> None:
        if self.voice is None and self.ref_audio is None:
            raise InvalidShapeException("one of `voice` and `ref_audio` is needed")

    @classmethod
    def from_openai(cls, openai_request: dict[str, Any], strict: bool = False) -> SpeechRequest:
        """Build a request from the form that OpenAI's clients send; `strict` has no effect."""
        from mistral_tok.chat.uploads import speech_from_openai

        return speech_from_openai(openai_request)

    def to_openai(self, **extra: Any) -> dict[str, Any]:
        """The form that OpenAI's clients send, a reference recording as an open file."""
        from mistral_tok.chat.uploads import speech_to_openai

        return speech_to_openai(self, extra)


__all__ = [
    "LANGUAGES",
    "BaseCompletionRequest",
    "ChatCompletionRequest",
    "ChatMessage",
    "Effort",
    "FIMRequest",
    "JsonSchema",
    "ReasoningEffort",
    "ResponseFormat",
    "ResponseFormats",
    "SpecialTokenPolicy",
    "SpeechRequest",
    "StreamingMode",
    "TranscriptionRequest",
    "ValidationMode",
]
