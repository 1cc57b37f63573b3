"""Transcription and speech requests → ids and prepared recordings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mistral_tok.chat.formats import Format
from mistral_tok.chat.mediaids import MediaIds, needed
from mistral_tok.chat.normalise import Turn
from mistral_tok.chat.refusals import InvalidShapeException
from mistral_tok.chat.requests import SpeechRequest, TranscriptionRequest
from mistral_tok.chat.segments import Item, Plan, Row, Segment
from mistral_tok.errors import InvalidRequestException, TokenizerException, UnsupportedTokenizerFeatureException


class SpeechLayout:
    """Lays out requests about audio for one vocabulary; immutable."""

    def __init__(
        self,
        row: Format,
        config: Mapping[str, Any] | None,
        ids: MediaIds,
        control: Callable[[str], int],
        optional: Callable[[str], int | None],
        *,
        effort_needed: bool,
    ) -> None:
        self._row, self._config, self._ids = row, config, ids
        self._control, self._optional = control, optional
        self._effort_needed = effort_needed

    def _audio(self, what: str) -> Any:
        from mistral_tok.chat.audio import AudioConfig

        if not self._row.truncates:  # before v7
            raise TokenizerException(f"{what} not available for {self._row.version}.")
        if self._config is None:
            raise UnsupportedTokenizerFeatureException(f"This {self._row.version} vocabulary has no audio encoder.")
        return AudioConfig.of(self._config)

    def transcription(self, request: TranscriptionRequest) -> tuple[Plan, list[Any]]:
        """The plan behind the beginning of the sequence, and the recordings.

        Raises:
            TokenizerException: before v7.
            UnsupportedTokenizerFeatureException: the vocabulary lacks audio or a control token.
            InvalidRequestException: the vocabulary transcribes in another way.

        """
        config = self._audio("Transcription")
        if config.transcription_format == "instruct":
            return self._instruct(request, config)
        if config.transcription_format == "streaming":
            return self._streaming(request, config)
        raise InvalidRequestException(
            f"The transcription format must be 'instruct' or 'streaming', got {config.transcription_format!r}."
        )

    def _instruct(self, request: TranscriptionRequest, config: Any) -> tuple[Plan, list[Any]]:
        from mistral_tok.chat import audio

        if request.streaming != "disabled":
            raise InvalidRequestException(
                "This vocabulary transcribes whole recordings: streaming must be 'disabled', "
                f"got {request.streaming!r}."
            )
        transcribe = needed(self._optional("[TRANSCRIBE]"), "[TRANSCRIBE]")
        needed(self._ids.begin_audio_id, "[BEGIN_AUDIO]")
        needed(self._ids.audio_id, "[AUDIO]")
        if not request.audio:
            raise InvalidShapeException("`audio` should not be empty", "$.audio")
        if self._effort_needed:
            raise InvalidRequestException("reasoning_effort should be set for this model; a transcription cannot.")
        sound = audio.prepare(audio.load_audio(request.audio, inline=True), config)
        items: list[Item] = [
            self._control("[INST]"),
            Segment("", "audio", None, self._ids.audio_ids(len(sound.samples)), sound),
            self._control("[/INST]"),
        ]
        if request.language is not None:
            items.append(Segment(f"lang:{request.language}", "language"))
        items.append(transcribe)
        return _plan(tuple(items)), [sound]

    def _streaming(self, request: TranscriptionRequest, config: Any) -> tuple[Plan, list[Any]]:
        from mistral_tok.chat import audio

        if request.streaming == "disabled":
            raise InvalidRequestException(
                "This vocabulary transcribes streams: streaming must be 'offline' or 'online', got 'disabled'."
            )
        delay = request.target_streaming_delay_ms
        pad = needed(self._ids.pad_id, "[STREAMING_PAD]")
        ids = [pad] * audio.streaming_pad_tokens(config, delay)
        if request.streaming == "offline":
            sound = audio.prepare(audio.load_audio(request.audio, inline=True), config, delay_ms=delay)
            sounds = [sound]
        else:
            sounds = list(audio.silence(config, delay))
            if request.audio:
                sounds = [_joined(sounds[0], audio.load_audio(request.audio, inline=True))]
        return _plan((Segment("", "audio", None, ids),)), sounds

    def speech(self, request: SpeechRequest) -> tuple[Plan, list[Any]]:
        """The plan behind the beginning of the sequence, and the reference recording if there is one.

        Raises:
            TokenizerException: before v7.
            UnsupportedTokenizerFeatureException: the vocabulary lacks audio, voices or a control token.
            InvalidRequestException: it has no such voice.

        """
        from mistral_tok.chat import audio

        config = self._audio("Speech")
        sounds: list[Any] = []
        if request.ref_audio is not None:
            sounds = [audio.resample(audio.load_audio(request.ref_audio, inline=True), config)]
            count = audio.speech_tokens(len(sounds[0].samples), config)
        else:
            count = _voice_tokens(request.voice, config)
        begin = needed(self._ids.begin_audio_id, "[BEGIN_AUDIO]")
        ids = [begin] + [needed(self._ids.audio_id, "[AUDIO]")] * count
        items = (
            Segment("", "audio", None, ids),
            needed(self._optional("[NEXT_AUDIO_TEXT]"), "[NEXT_AUDIO_TEXT]"),
            Segment(request.input, "text"),
            needed(self._optional("[REPEAT_AUDIO_TEXT]"), "[REPEAT_AUDIO_TEXT]"),
            begin,
        )
        return _plan(items), sounds


def _plan(row: Row) -> Plan:
    return Plan([Turn("user", "", None)], [row])


def _voice_tokens(voice: str | None, config: Any) -> int:
    voices = config.voice_num_audio_tokens
    if voices is None:
        raise UnsupportedTokenizerFeatureException("This vocabulary has no preset voices; give ref_audio.")
    if voice not in voices:
        raise InvalidRequestException(f"Unknown voice {voice!r}; there are {sorted(voices)}.")
    return int(voices[voice])


def _joined(silence: Any, sound: Any) -> Any:
    """A recording behind the silence that stands before it."""
    import numpy

    from mistral_tok.chat.audio import Sound

    return Sound(numpy.concatenate((silence.samples, sound.samples)), sound.sampling_rate, sound.format)
