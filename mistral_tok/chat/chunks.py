"""Content chunks: what a message's content is made of when it is more than one string."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mistral_tok.chat.base import Base, Wire
from mistral_tok.chat.refusals import InvalidShapeException

if TYPE_CHECKING:
    from mistral_tok.chat.recording import Audio


class ChunkTypes(StrEnum):
    """Values of a chunk's `type`."""

    text = "text"
    image = "image"
    image_url = "image_url"
    input_audio = "input_audio"
    audio_url = "audio_url"
    thinking = "thinking"


class TextChunk(Wire, kw_only=True, tag_field="type", tag="text"):
    """A piece of text.

    >>> TextChunk(text="Hello").type
    'text'
    """

    type: ClassVar[Literal["text"]] = "text"
    text: str

    def to_openai(self) -> dict[str, Any]:
        """The chunk as OpenAI's clients write it."""
        return {"type": "text", "text": self.text}


class ThinkChunk(Wire, kw_only=True, tag_field="type", tag="thinking"):
    """What the assistant thought before it answered; `closed=False` while it is still thinking."""

    type: ClassVar[Literal["thinking"]] = "thinking"
    thinking: str
    closed: bool = True

    def to_openai(self) -> dict[str, Any]:
        """The chunk as a dict (OpenAI has no such chunk; servers of Mistral models do)."""
        return {"type": "thinking", "thinking": self.thinking, "closed": self.closed}


class ImageURL(Base, kw_only=True, forbid_unknown_fields=True):
    """Where an image lies: a data URL, a `file://` path, or an http address. `detail` has no effect."""

    url: str
    detail: str | None = None


class ImageURLChunk(Wire, kw_only=True, tag_field="type", tag="image_url"):
    """An image by address; it is read when the request is encoded."""

    type: ClassVar[Literal["image_url"]] = "image_url"
    image_url: ImageURL | str

    def get_url(self) -> str:
        """The address, however it was given."""
        return self.image_url if isinstance(self.image_url, str) else self.image_url.url

    def to_openai(self) -> dict[str, Any]:
        """The chunk as OpenAI's clients write it."""
        address: dict[str, Any] = {"url": self.get_url()}
        if isinstance(self.image_url, ImageURL) and self.image_url.detail is not None:
            address["detail"] = self.image_url.detail
        return {"type": "image_url", "image_url": address}


class ImageChunk(Wire, kw_only=True, tag_field="type", tag="image"):
    """An image itself: a PIL image, encoded bytes, base64 text, or a data URL."""

    type: ClassVar[Literal["image"]] = "image"
    image: Any

    def to_openai(self) -> dict[str, Any]:
        """The chunk as an `image_url` chunk with a data URL."""
        from mistral_tok.chat.image import data_url

        return {"type": "image_url", "image_url": {"url": data_url(self.image)}}


class AudioURL(Base, kw_only=True):
    """Where a recording lies."""

    url: str


class AudioURLChunk(Wire, kw_only=True, tag_field="type", tag="audio_url"):
    """A recording by address: http, `data:`, `file:`, a path, or base64 text."""

    type: ClassVar[Literal["audio_url"]] = "audio_url"
    audio_url: AudioURL | str

    @property
    def url(self) -> str:
        """The address, however it was given."""
        return self.audio_url if isinstance(self.audio_url, str) else self.audio_url.url

    def to_openai(self) -> dict[str, Any]:
        """The chunk as servers of Mistral models take it."""
        return {"type": "audio_url", "audio_url": {"url": self.url}}


def audio_payload(value: Any, name: str) -> str | bytes:
    """The recording in `value`: bytes, text, or a mapping with the key `data`.

    Raises:
        InvalidShapeException: it is something else, or empty.

    """
    if isinstance(value, dict) and "data" in value:
        value = value["data"]
    if not isinstance(value, str | bytes):
        raise InvalidShapeException(f"`{name}` must be base64 text or bytes, got {type(value).__name__}")
    if not value.strip() if isinstance(value, str) else not value:
        raise InvalidShapeException(f"`{name}` should not be empty")
    return value


class AudioChunk(Wire, kw_only=True, tag_field="type", tag="input_audio"):
    """A recording itself: base64 text, a data URL, bytes, or `{"data": …}`."""

    type: ClassVar[Literal["input_audio"]] = "input_audio"
    input_audio: Any

    def __post_init__(self) -> None:
        self.input_audio = audio_payload(self.input_audio, "input_audio")

    @classmethod
    def from_audio(cls, audio: Audio) -> AudioChunk:
        """The chunk of a recording, in the recording's own format."""
        return cls(input_audio=audio.to_base64(audio.format))

    def to_openai(self) -> dict[str, Any]:
        """The chunk as OpenAI's clients write it, with the format that the recording has."""
        from mistral_tok.chat.audio import base64_and_format

        data, kind = base64_and_format(self.input_audio)
        return {"type": "input_audio", "input_audio": {"data": data, "format": kind}}


UserChunk = TextChunk | ImageChunk | ImageURLChunk | AudioChunk | AudioURLChunk
AssistantChunk = TextChunk | ThinkChunk
SystemChunk = TextChunk | AudioChunk | ThinkChunk
ContentChunk = UserChunk | ThinkChunk
