"""Transcription and speech requests ⇄ the forms that OpenAI's clients send, with recordings as uploaded files."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any, TypeVar

from mistral_tok.chat.refusals import InvalidShapeException, MissingFieldException
from mistral_tok.chat.requests import SpeechRequest, TranscriptionRequest
from mistral_tok.chat.strict import convert

T = TypeVar("T")
NOT_OPENAI = ("id", "max_tokens", "strict_audio_validation", "streaming")
"""Fields of a transcription request that OpenAI's form does not have."""


def transcription_from_openai(form: Mapping[str, Any]) -> TranscriptionRequest:
    """The request of a form whose `file` is an upload; keys without meaning are dropped.

    Raises:
        MissingFieldException: there is no file.

    """
    if form.get("file") is None:
        raise MissingFieldException("a transcription needs the recording in `file`", "$.file")
    fields = _fields(form, TranscriptionRequest) | {"audio": _uploaded(form["file"], "$.file")}
    return convert(fields, TranscriptionRequest)


def speech_from_openai(form: Mapping[str, Any]) -> SpeechRequest:
    """The request of a form; `voice` may be `{"id": …}`, `ref_audio` an upload, bytes or base64 text."""
    fields = _fields(form, SpeechRequest)
    if form.get("ref_audio") is not None:
        fields["ref_audio"] = _uploaded(form["ref_audio"], "$.ref_audio")
    if isinstance(form.get("voice"), Mapping):
        fields["voice"] = form["voice"].get("id")
    return convert(fields, SpeechRequest)


def transcription_to_openai(request: TranscriptionRequest, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The form of a request, the recording as a file object named after its format."""
    form = request.model_dump()
    form["file"] = _file(form.pop("audio"))
    form["seed"] = form.pop("random_seed")
    return {key: value for key, value in (form | dict(extra)).items() if key not in NOT_OPENAI}


def speech_to_openai(request: SpeechRequest, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The form of a request, a reference recording as a file object named after its format."""
    form = request.model_dump()
    recording = form.pop("ref_audio")
    if recording is not None:
        form["ref_audio"] = _file(request.ref_audio)
    form["seed"] = form.pop("random_seed")
    return form | dict(extra)


def _fields(form: Mapping[str, Any], kind: type[Any]) -> dict[str, Any]:
    known = {key: value for key, value in form.items() if key in kind.__struct_fields__}
    known = {key: value for key, value in known.items() if value is not None or key not in ("temperature", "top_p")}
    return known | ({"random_seed": form["seed"]} if "seed" in form else {})


def _uploaded(file: Any, path: str) -> str:
    """The recording of an upload as base64 text."""
    if isinstance(file, str):
        return file
    if isinstance(file, io.BytesIO):
        file = file.getvalue()
    elif hasattr(file, "file"):
        file = file.file.read()
    if not isinstance(file, bytes):
        raise InvalidShapeException(f"expected a file, bytes or base64 text, got {type(file).__name__}", path)
    return base64.b64encode(file).decode()


def _file(recording: str | bytes) -> io.BytesIO:
    from mistral_tok.chat.audio import base64_and_format

    data, kind = base64_and_format(recording)
    stream = io.BytesIO(base64.b64decode(data))
    stream.name = f"audio.{kind}"  # clients tell the content type from it
    return stream
