"""Images and recordings → the ids that stand for them, and what the model receives beside the ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mistral_tok.chat.normalise import Media, Source
from mistral_tok.chat.segments import Segment
from mistral_tok.errors import UnsupportedTokenizerFeatureException


@dataclass(frozen=True, slots=True)
class MediaAccess:
    """What may be read for a request, and whether pixels and samples are decoded (`arrays`) or only measured.

    `known` holds segments by the identity of their chunks, which they keep alive: what it has is not made again.
    """

    fetcher: Callable[[str], bytes] | None = None
    allow_urls: bool = False
    allow_files: bool = True
    arrays: bool = True
    known: dict[int, Segment] | None = None


ALL = MediaAccess()


class MediaIds:
    """Makes the segments of images and recordings for one vocabulary; immutable."""

    def __init__(
        self,
        image: Mapping[str, Any] | None,
        audio: Mapping[str, Any] | None,
        control: Callable[[str], int],
        optional: Callable[[str], int | None],
    ) -> None:
        self._image, self._audio = image, audio
        if image is not None:
            self._pixel, self._break, self._end = control("[IMG]"), control("[IMG_BREAK]"), control("[IMG_END]")
        self.audio_id, self.begin_audio_id = optional("[AUDIO]"), optional("[BEGIN_AUDIO]")
        self.pad_id = optional("[STREAMING_PAD]")

    def segment(self, media: Media, access: MediaAccess) -> Segment:
        """The segment of a chunk.

        Raises:
            UnsupportedTokenizerFeatureException: the vocabulary has no images or no audio.
            InvalidMediaException: it cannot be read; the message says why.

        """
        chunk, known = media.chunk, access.known
        if known is not None and id(chunk) in known:
            return known[id(chunk)]
        make = self._image_segment if chunk.type in ("image", "image_url") else self._audio_segment
        segment = make(media, access)
        if known is not None:
            known[id(chunk)] = segment
        return segment

    def _image_segment(self, media: Media, access: MediaAccess) -> Segment:
        if self._image is None:
            raise UnsupportedTokenizerFeatureException(
                f"This vocabulary has no image encoder (at $.messages[{media.message}].content[{media.nth}])."
            )
        from mistral_tok.chat.image import image_tokens, load_image

        chunk, inline = media.chunk, media.chunk.type == "image"
        picture = load_image(
            chunk.image if inline else chunk.get_url(),
            inline=inline,
            fetcher=access.fetcher,
            allow_urls=access.allow_urls,
            allow_files=access.allow_files,
        )
        columns, rows = image_tokens(picture.width, picture.height, self._image)
        ids = ([self._pixel] * columns + [self._break]) * rows
        ids[-1] = self._end
        array = picture.array(self._image) if access.arrays else None
        return Segment("", "image", _origin(media, "image"), ids, array, chunk)

    def _audio_segment(self, media: Media, access: MediaAccess) -> Segment:
        chunk = media.chunk
        inline = chunk.type == "input_audio"
        source = chunk.input_audio if inline else chunk.url
        self._need_audio(media)
        from mistral_tok.chat import audio

        options = {
            "inline": inline,
            "fetcher": access.fetcher,
            "allow_urls": access.allow_urls,
            "allow_files": access.allow_files,
        }
        config: Any = self._audio
        if access.arrays:
            sound = audio.prepare(audio.load_audio(source, **options), config)
            count, medium = len(sound.samples), sound
        else:
            length, rate = audio.measure_audio(source, **options)
            count, medium = audio.padded_length(audio.resampled_length(length, rate, config), config), None
        return Segment("", "audio", _origin(media, "audio"), self.audio_ids(count), medium, chunk)

    def _need_audio(self, media: Media) -> None:
        if self._audio is None:
            raise UnsupportedTokenizerFeatureException(
                f"This vocabulary has no audio encoder (at $.messages[{media.message}].content[{media.nth}])."
            )

    def audio_ids(self, n_samples: int) -> list[int]:
        """The ids of a prepared recording."""
        from mistral_tok.chat.audio import AudioConfig, audio_tokens, streaming_pad_tokens

        config = AudioConfig.of(self._audio or {})
        if config.is_streaming:
            return [needed(self.pad_id, "[STREAMING_PAD]")] * streaming_pad_tokens(config)
        return [needed(self.begin_audio_id, "[BEGIN_AUDIO]")] + (
            [needed(self.audio_id, "[AUDIO]")] * audio_tokens(n_samples, config)
        )


def needed(token: int | None, name: str) -> int:
    """The id of a control token that a request cannot do without.

    Raises:
        UnsupportedTokenizerFeatureException: the vocabulary has none of this name.

    """
    if token is None:
        raise UnsupportedTokenizerFeatureException(f"This vocabulary has no token {name}.")
    return token


def _origin(media: Media, part: str) -> tuple[Source, ...]:
    return (Source(0, 0, media.message, media.nth, 0, part),)
