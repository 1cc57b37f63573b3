"""The sections of `tekken.json` that the conversation layer reads: image, audio and model settings."""

from __future__ import annotations

from typing import Literal

import msgspec

from mistral_tok.errors import VocabularyError

Section = dict[str, object]


def _require(fine: bool, message: str) -> None:
    if not fine:
        raise VocabularyError(f"{message}. Use the file as published with the model.")


class ImageSection(msgspec.Struct, forbid_unknown_fields=True):
    """How images are cut into patches; all lengths in pixels."""

    image_patch_size: int
    max_image_size: int
    spatial_merge_size: int = 1

    def checked(self) -> Section:
        """The section as a dictionary; VocabularyError if a number makes no sense."""
        section: Section = msgspec.structs.asdict(self)
        for key, value in section.items():
            _require(isinstance(value, int) and value > 0, f"{key} is {value}, but has to be positive")
        return section


class Spectrogram(msgspec.Struct, forbid_unknown_fields=True):
    """Mel spectrogram settings; lengths in samples."""

    num_mel_bins: int
    hop_length: int
    window_size: int


class AudioSection(msgspec.Struct, forbid_unknown_fields=True):
    """How audio becomes frames and tokens."""

    sampling_rate: int
    frame_rate: float
    audio_encoding_config: Spectrogram
    chunk_length_s: float | None = None
    transcription_format: Literal["instruct", "streaming"] = "instruct"
    transcription_delay_ms: float | None = None
    streaming_look_ahead_ms: float | None = None
    streaming_look_back_ms: float | None = None
    streaming_n_left_pad_tokens: int | None = None
    voice_num_audio_tokens: dict[str, int] | None = None

    def checked(self) -> Section:
        """The section as a dictionary; VocabularyError if its numbers contradict each other."""
        spectrogram: Section = msgspec.structs.asdict(self.audio_encoding_config)
        for key, value in spectrogram.items():
            _require(isinstance(value, int) and value > 0, f"audio_encoding_config.{key} is {value}, not positive")
        _require(self.sampling_rate > 0, f"sampling_rate is {self.sampling_rate}, not positive")
        _require(self.frame_rate > 0, f"frame_rate is {self.frame_rate}, not positive")
        samples = int(self.sampling_rate // self.frame_rate)
        hop = self.audio_encoding_config.hop_length
        _require(samples >= hop, f"a token spans {samples} samples, fewer than hop_length {hop}")
        if self.chunk_length_s is not None:
            _require(
                self.chunk_length_s > 0 and int(self.chunk_length_s * self.sampling_rate) > 0,
                f"chunk_length_s is {self.chunk_length_s}, less than one sample",
            )
        self._check_streaming()
        return {**msgspec.structs.asdict(self), "audio_encoding_config": spectrogram}

    def _check_streaming(self) -> None:
        keys = ("transcription_delay_ms", "streaming_look_ahead_ms", "streaming_look_back_ms")
        values = {key: getattr(self, key) for key in (*keys, "streaming_n_left_pad_tokens")}
        streaming = self.transcription_format == "streaming"
        for key, value in values.items():
            _require(
                (value is not None) == streaming,
                f'{key} {"is missing for" if streaming else "belongs to"} transcription_format "streaming"',
            )
        if streaming:
            delay, frame = self.transcription_delay_ms or 0.0, 1000.0 / self.frame_rate
            _require(delay > 0 and delay % frame == 0, f"transcription_delay_ms is {delay}, not a multiple of {frame}")
            _require(self.chunk_length_s is None, "chunk_length_s does not go with streaming")


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class EffortSetting(msgspec.Struct, forbid_unknown_fields=True):
    """Which reasoning efforts a model knows, and which one it takes when none is asked for."""

    values: list[Effort]
    default: Effort
    type: Literal["enum"] = "enum"
    accepts_none: Literal[True] = True


class SchemaSetting(msgspec.Struct, forbid_unknown_fields=True):
    """That a model reads a JSON schema from its settings."""

    type: Literal["json_schema"] = "json_schema"


class SettingsSection(msgspec.Struct, forbid_unknown_fields=True):
    """What may stand between `[MODEL_SETTINGS]` and `[/MODEL_SETTINGS]` (v15)."""

    reasoning_effort: EffortSetting | None = None
    json_schema: SchemaSetting | None = None

    def checked(self) -> Section:
        """The section as a dictionary; VocabularyError if the efforts repeat or the default is none of them."""
        section: Section = {}
        effort = self.reasoning_effort
        if effort is not None:
            _require(len(set(effort.values)) == len(effort.values), f"reasoning_effort.values repeat: {effort.values}")
            _require(effort.default in effort.values, f"reasoning_effort.default {effort.default!r} is not a value")
            section["reasoning_effort"] = msgspec.structs.asdict(effort)
        if self.json_schema is not None:
            section["json_schema"] = msgspec.structs.asdict(self.json_schema)
        return section
