"""`Audio`: a recording as applications read it before they send it, under mistral-common's names."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from mistral_tok.chat.audio import load_audio
from mistral_tok.chat.chunks import AudioChunk
from mistral_tok.chat.media import TIMEOUT, needed
from mistral_tok.errors import InvalidMediaException

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(eq=False, slots=True)
class Audio:
    """Mono samples, their rate in Hz, and the format of the file (`wav`, `mp3` …) that they came in.

    `strict` refuses recordings of several channels; without it they are mixed down. Needs the extra `audio`.
    """

    audio_array: NDArray[np.float32]
    sampling_rate: int
    format: str

    def __post_init__(self) -> None:
        if getattr(self.audio_array, "ndim", None) != 1:
            raise InvalidMediaException("`audio_array` must be a numpy array of one dimension.")
        _check_format(self.format)

    def __repr__(self) -> str:
        return f"Audio({self.sampling_rate} Hz, {self.duration:.2f} s, format={self.format!r})"

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.audio_array) / self.sampling_rate

    @classmethod
    def from_bytes(cls, audio_bytes: bytes, strict: bool = True) -> Self:
        """Decode a recording.

        Raises:
            InvalidMediaException: it cannot be read; the message says why.

        """
        sound = load_audio(audio_bytes, inline=True, mix_down=not strict)
        return cls(sound.samples, sound.sampling_rate, sound.format)

    @classmethod
    def from_base64(cls, audio_base64: str, strict: bool = True) -> Self:
        """Decode base64 text or a data URL; errors as for `from_bytes`."""
        sound = load_audio(audio_base64, inline=True, mix_down=not strict)
        return cls(sound.samples, sound.sampling_rate, sound.format)

    @classmethod
    def from_file(cls, file: str | os.PathLike[str], strict: bool = True) -> Self:
        """Read a file, by path or `file://` address; errors as for `from_bytes`.

        Raises:
            FileNotFoundError: there is no such file.

        """
        path = os.fspath(file).removeprefix("file://")
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path}: no such file.")
        sound = load_audio(f"file://{path}", mix_down=not strict)
        return cls(sound.samples, sound.sampling_rate, sound.format)

    @classmethod
    def from_url(cls, url: str, strict: bool = True, timeout: float | None = None) -> Self:
        """Download a recording from an http or https address; errors as for `from_bytes`."""
        if not url.startswith(("http://", "https://")):
            raise InvalidMediaException(f"{url!r:.100} is no http or https address.")
        sound = load_audio(url, allow_urls=True, timeout=TIMEOUT if timeout is None else timeout, mix_down=not strict)
        return cls(sound.samples, sound.sampling_rate, sound.format)

    @classmethod
    def from_audio_chunk(cls, chunk: AudioChunk) -> Self:
        """Decode the recording of a chunk; errors as for `from_bytes`."""
        sound = load_audio(chunk.input_audio, inline=True)
        return cls(sound.samples, sound.sampling_rate, sound.format)

    def to_base64(self, format: str, prefix: bool = False) -> str:
        """Encode as a file of a format that libsndfile writes; `prefix` makes a data URL of it."""
        _check_format(format)
        file = io.BytesIO()
        needed("soundfile", "audio").write(file, self.audio_array, self.sampling_rate, format=format.upper())
        text = base64.b64encode(file.getvalue()).decode()
        return f"data:audio/{format.lower()};base64,{text}" if prefix else text

    def resample(self, new_sampling_rate: int) -> None:
        """Change the sampling rate of this recording, by soxr in its quality HQ."""
        if self.sampling_rate != new_sampling_rate:
            soxr = needed("soxr", "audio")
            self.audio_array = soxr.resample(self.audio_array, self.sampling_rate, new_sampling_rate, quality="HQ")
            self.sampling_rate = new_sampling_rate


def _check_format(name: str) -> None:
    known = needed("soundfile", "audio").available_formats()
    if not isinstance(name, str) or name.upper() not in known:
        raise InvalidMediaException(f"{name!r} is no audio format; there are {sorted(map(str.lower, known))}.")
