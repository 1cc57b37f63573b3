"""Recordings → how many tokens, and the samples that the model hears; to the bit what mistral-common computes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mistral_tok.chat.media import needed
from mistral_tok.errors import InvalidMediaException

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORD_TOKENS = 10
"""Silence after a recording that is transcribed as a stream, in tokens: room for the longest word."""


@dataclass(frozen=True, slots=True)
class AudioConfig:
    """How a model hears: the section `audio` of its vocabulary file. Rates in Hz, lengths in samples, or as named."""

    sampling_rate: int
    frame_rate: float
    hop_length: int
    window_size: int
    chunk_length_s: float | None = None
    transcription_format: str = "instruct"
    transcription_delay_ms: float | None = None
    streaming_n_left_pad_tokens: int | None = None
    voice_num_audio_tokens: Mapping[str, int] | None = None

    @classmethod
    def of(cls, config: AudioConfig | Mapping[str, Any]) -> AudioConfig:
        """The config itself, or one made from a file's section."""
        if isinstance(config, AudioConfig):
            return config
        spectrogram = config["audio_encoding_config"]
        section = {name: config[name] for name in cls.__slots__ if name in config}
        return cls(**section, hop_length=spectrogram["hop_length"], window_size=spectrogram["window_size"])

    @property
    def is_streaming(self) -> bool:
        """Whether the model transcribes while it listens."""
        return self.transcription_format == "streaming"

    @property
    def samples_per_token(self) -> int:
        """Samples that one token stands for."""
        return int(self.sampling_rate // self.frame_rate)


@dataclass(frozen=True, slots=True)
class Sound:
    """Decoded mono samples: float32, one dimension. `format` is the container's name in lower case."""

    samples: NDArray[np.float32]
    sampling_rate: int
    format: str

    @property
    def audio_array(self) -> NDArray[np.float32]:
        """The samples, under mistral-common's name."""
        return self.samples

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sampling_rate


def audio_tokens(n_samples: int, config: AudioConfig | Mapping[str, Any]) -> int:
    """How many `[AUDIO]` ids a prepared recording takes; hops that are not whole do not count.

    >>> config = AudioConfig(sampling_rate=16000, frame_rate=12.5, hop_length=160, window_size=400)
    >>> [audio_tokens(n, config) for n in (1279, 1281, 1440, 16000)]
    [1, 1, 2, 13]
    """
    config = AudioConfig.of(config)
    hops_per_token = int(config.samples_per_token / config.hop_length)
    return -(-(n_samples // config.hop_length) // hops_per_token)


def speech_tokens(n_samples: int, config: AudioConfig | Mapping[str, Any]) -> int:
    """How many `[AUDIO]` ids the reference voice of a speech request takes, its end marker included."""
    config = AudioConfig.of(config)
    return math.ceil((n_samples / config.sampling_rate) * config.frame_rate) + 1


def delay_tokens(config: AudioConfig | Mapping[str, Any], delay_ms: float | None = None) -> int:
    """How many tokens a streaming transcription lags behind what it hears; without `delay_ms` the model's own lag."""
    config = _streaming(config)
    delay = config.transcription_delay_ms if delay_ms is None else delay_ms
    return audio_tokens(int((delay or 0) / 1000.0 * config.sampling_rate), config)


def streaming_pad_tokens(config: AudioConfig | Mapping[str, Any], delay_ms: float | None = None) -> int:
    """How many `[STREAMING_PAD]` ids stand for a recording of any length: the silence before it and the delay."""
    config = _streaming(config)
    return (config.streaming_n_left_pad_tokens or 0) + delay_tokens(config, delay_ms)


def streaming_pads(
    n_samples: int, config: AudioConfig | Mapping[str, Any], delay_ms: float | None = None
) -> tuple[int, int]:
    """Samples of silence before and after a recording that is transcribed as a stream."""
    config = _streaming(config)
    unit = config.samples_per_token
    right = -n_samples % unit + unit * (delay_tokens(config, delay_ms) + 1 + WORD_TOKENS)
    return unit * (config.streaming_n_left_pad_tokens or 0), right


def silence(config: AudioConfig | Mapping[str, Any], delay_ms: float | None = None) -> tuple[Sound, Sound]:
    """What is heard before and after a live recording: two silent sounds."""
    numpy, config = needed("numpy", "audio"), AudioConfig.of(config)
    left, right = (numpy.zeros(n, dtype=numpy.float32) for n in streaming_pads(0, config, delay_ms))
    return Sound(left, config.sampling_rate, "wav"), Sound(right, config.sampling_rate, "wav")


def resampled_length(n_samples: int, sampling_rate: int, config: AudioConfig | Mapping[str, Any]) -> int:
    """How many samples `n_samples` become at the model's rate; what soxr gives, without resampling."""
    return math.floor(n_samples * AudioConfig.of(config).sampling_rate / sampling_rate + 0.5)


def padded_length(n_samples: int, config: AudioConfig | Mapping[str, Any], delay_ms: float | None = None) -> int:
    """Length of a prepared recording whose `n_samples` are at the model's rate."""
    left, right = _pads(n_samples, AudioConfig.of(config), delay_ms)
    return left + n_samples + right


def resample(sound: Sound, config: AudioConfig | Mapping[str, Any]) -> Sound:
    """The sound at the model's rate, by soxr in its quality HQ; unchanged if it has that rate already."""
    config = AudioConfig.of(config)
    if sound.sampling_rate == config.sampling_rate:
        return sound
    soxr = needed("soxr", "audio")
    samples = soxr.resample(sound.samples, sound.sampling_rate, config.sampling_rate, quality="HQ")
    return Sound(samples, config.sampling_rate, sound.format)


def prepare(sound: Sound, config: AudioConfig | Mapping[str, Any], *, delay_ms: float | None = None) -> Sound:
    """The sound as the model takes it: at its rate, padded with silence to chunks, a stream or a window.

    The given sound is not changed. `audio_tokens(len(result.samples), config)` is what it costs, except in streaming
    files, where `streaming_pad_tokens` is.
    """
    numpy, config = needed("numpy", "audio"), AudioConfig.of(config)
    sound = resample(sound, config)
    pads = _pads(len(sound.samples), config, delay_ms)
    return Sound(numpy.pad(sound.samples, pads), sound.sampling_rate, sound.format) if any(pads) else sound


def _pads(n_samples: int, config: AudioConfig, delay_ms: float | None) -> tuple[int, int]:
    """Silence before and after, in samples."""
    if config.chunk_length_s:
        return 0, -n_samples % int(config.chunk_length_s * config.sampling_rate)
    if config.is_streaming:
        return streaming_pads(n_samples, config, delay_ms)
    return 0, max(config.window_size - n_samples, 0)


def _streaming(config: AudioConfig | Mapping[str, Any]) -> AudioConfig:
    config = AudioConfig.of(config)
    if not config.is_streaming:
        raise InvalidMediaException("This model does not transcribe streams; its transcription_format is instruct.")
    return config
