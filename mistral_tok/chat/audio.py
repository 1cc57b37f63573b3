"""Recordings, read within limits: anything that libsndfile decodes, mono only. `waveform` does the arithmetic."""

from __future__ import annotations

import base64
import io
import os
import struct
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from mistral_tok.chat.media import (
    MAX_BYTES,
    TIMEOUT,
    Access,
    Fetcher,
    checked,
    from_base64,
    from_file,
    from_url,
    needed,
    shown,
)
from mistral_tok.chat.waveform import (
    AudioConfig,
    Sound,
    audio_tokens,
    delay_tokens,
    padded_length,
    prepare,
    resample,
    resampled_length,
    silence,
    speech_tokens,
    streaming_pad_tokens,
)
from mistral_tok.errors import InvalidMediaException

__all__ = [
    "AudioConfig",
    "Sound",
    "audio_tokens",
    "base64_and_format",
    "delay_tokens",
    "load_audio",
    "measure_audio",
    "padded_length",
    "prepare",
    "resample",
    "resampled_length",
    "silence",
    "speech_tokens",
    "streaming_pad_tokens",
]

MAX_SAMPLES = 1 << 28
"""Longest recording accepted unless the caller says otherwise: a gigabyte of float32, 93 minutes at 48 kHz."""

_UNKNOWN_SIZE = 0x7FFF0000  # programs that write WAV to a pipe put a size at or above this, for they do not know it

T = TypeVar("T")


def load_audio(
    source: object,
    *,
    inline: bool = False,
    fetcher: Fetcher | None = None,
    allow_urls: bool = False,
    allow_files: bool = True,
    max_bytes: int = MAX_BYTES,
    max_samples: int = MAX_SAMPLES,
    timeout: float = TIMEOUT,
    mix_down: bool = False,
) -> Sound:
    """Decode a recording; one of several channels is refused, unless it is to be mixed down.

    `source` is encoded bytes or text. Text is an address as in an `audio_url` chunk: http, `data:`, `file:`, the path
    of a file that exists, or else base64; with `inline` it is the content of an `input_audio` chunk, base64 or a data
    URL, and nothing is read from elsewhere. Addresses: see `media.Access`.

    Raises InvalidMediaException for what cannot be read, has several channels, is cut off, or exceeds the limits.
    """
    data = _read(source, inline, Access(fetcher, allow_urls, allow_files, max_bytes, timeout))
    return _with_file(data, lambda file: _decoded(file, max_samples, mix_down))


def measure_audio(
    source: object,
    *,
    inline: bool = False,
    fetcher: Fetcher | None = None,
    allow_urls: bool = False,
    allow_files: bool = True,
    max_bytes: int = MAX_BYTES,
    max_samples: int = MAX_SAMPLES,
    timeout: float = TIMEOUT,
) -> tuple[int, int]:
    """Length in samples and sampling rate of a recording, from its header; source and errors as for `load_audio`."""
    data = _read(source, inline, Access(fetcher, allow_urls, allow_files, max_bytes, timeout))

    def measured(file: Any) -> tuple[int, int]:
        _check_header(file, max_samples, False)
        return file.frames, file.samplerate

    return _with_file(data, measured)


def base64_and_format(source: str | bytes) -> tuple[str, str]:
    """The recording of an `input_audio` chunk as base64 text, and its format by its header (`wav`, `mp3` …)."""
    data = _read(source, True, Access())
    kind = _with_file(data, lambda file: str(file.format).lower())
    if isinstance(source, str):
        return (source.partition(",")[2] if source.startswith("data:") else source), kind
    return base64.b64encode(data).decode("ascii"), kind


def _read(source: object, inline: bool, access: Access) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        return checked(bytes(source), access.max_bytes)
    if not isinstance(source, str):
        raise InvalidMediaException(f"A recording is bytes, base64 text or an address, not {type(source).__name__}.")
    scheme = "" if inline else _scheme(source)
    if scheme in ("http", "https"):
        return from_url(source, access)
    if scheme == "file":
        return from_file(source.removeprefix("file://"), access)
    if scheme != "data" and not inline and access.allow_files and os.path.exists(source):
        return from_file(source, access)
    return from_base64(source, access.max_bytes)


def _scheme(source: str) -> str:
    try:
        return urlsplit(source[:256]).scheme
    except ValueError as error:
        raise InvalidMediaException(f"{shown(source)} is not an address: {error}.") from error


def _with_file(data: bytes, use: Callable[[Any], T]) -> T:
    """Open the recording with libsndfile and use it; its errors become refusals."""
    soundfile = needed("soundfile", "audio")
    _check_whole(data)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            return use(file)
    except InvalidMediaException:
        raise
    except (RuntimeError, ValueError, TypeError) as error:  # TypeError: headerless formats ask for more arguments
        raise InvalidMediaException(
            f"Failed to decode the payload as audio ({error}). Verify that it is a valid audio file (e.g. wav or mp3)."
        ) from error


def _check_header(file: Any, max_samples: int, mix_down: bool) -> None:
    if file.channels != 1 and not mix_down:
        raise InvalidMediaException(
            f"The recording has {file.channels} channels, and only mono is accepted; mix it down first."
        )
    samples = file.frames * file.channels
    if samples > max_samples:  # before memory is spent: silence compresses a thousandfold
        raise InvalidMediaException(
            f"The recording has {samples} samples, more than the {max_samples} allowed; raise max_samples for it."
        )


def _decoded(file: Any, max_samples: int, mix_down: bool) -> Sound:
    _check_header(file, max_samples, mix_down)
    promised = file.frames
    samples = file.read(dtype="float32")
    if len(samples) < promised:
        raise InvalidMediaException(f"The recording is cut off: {len(samples)} of {promised} samples are there.")
    if samples.ndim > 1:
        samples = samples.mean(axis=1)
    return Sound(samples, file.samplerate, str(file.format).lower())


def _check_whole(data: bytes) -> None:
    """Refuse cut-off WAV, AIFF and Ogg files, which libsndfile takes for shorter ones."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        missing = _missing_in_chunks(data, "<4sI", b"data")
    elif data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        missing = _missing_in_chunks(data, ">4sI", b"SSND")
    elif data[:4] == b"OggS":
        missing = _missing_in_ogg(data)
    else:
        return
    if missing > 0:
        raise InvalidMediaException(f"The recording is cut off: its last {missing} bytes are missing.")


def _missing_in_chunks(data: bytes, header: str, samples: bytes) -> int:
    """How far the chunk with the samples reaches beyond the end; `header` is the layout of a chunk's name and size."""
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from(header, data, at)
        if name == samples:
            return 0 if size >= _UNKNOWN_SIZE else int(at + 8 + size - len(data))
        at += 8 + size + size % 2
    return 0


def _missing_in_ogg(data: bytes) -> int:
    """How far the last page reaches beyond the end. A page: 26 bytes, the number of segments, their sizes, segments."""
    at = data.rfind(b"OggS")
    if at + 27 > len(data):
        return at + 27 - len(data)
    sizes = data[at + 27 : at + 27 + data[at + 26]]
    return max(at + 27 + data[at + 26] + sum(sizes) - len(data), data[at + 26] - len(sizes))
