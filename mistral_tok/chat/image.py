"""Images → how many tokens, and the array that the model sees; to the bit what mistral-common computes."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
from mistral_tok.errors import ImageDecodeException, InvalidMediaException, VocabularyError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_PIXELS = 89_478_485
"""Largest image accepted unless the caller says otherwise; above it Pillow, too, suspects a decompression bomb."""

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """How a model cuts images into patches: the section `image` of its vocabulary file; lengths in pixels."""

    image_patch_size: int
    max_image_size: int
    spatial_merge_size: int = 1

    def __post_init__(self) -> None:
        for name in ("image_patch_size", "max_image_size", "spatial_merge_size"):
            if getattr(self, name) <= 0:
                raise VocabularyError(f"image.{name} is {getattr(self, name)}, but has to be positive.")

    @classmethod
    def of(cls, config: ImageConfig | Mapping[str, Any]) -> ImageConfig:
        """The config itself, or one made from a file's section."""
        return config if isinstance(config, ImageConfig) else cls(**config)

    @property
    def token_size(self) -> int:
        """Width and height of the square that one token stands for."""
        return self.image_patch_size * self.spatial_merge_size


def image_tokens(width: int, height: int, config: ImageConfig | Mapping[str, Any]) -> tuple[int, int]:
    """Columns and rows of an image's token grid; with its breaks it takes `rows * (columns + 1)` ids.

    >>> image_tokens(20, 20, {"image_patch_size": 16, "max_image_size": 1024})
    (2, 2)
    """
    if width < 1 or height < 1:
        raise InvalidMediaException(f"An image of {width}×{height} pixels has nothing to look at.")
    config = ImageConfig.of(config)
    ratio = max(width / config.max_image_size, height / config.max_image_size)
    if ratio > 1:
        width, height = max(round(width / ratio), 1), max(round(height / ratio), 1)
    return (width - 1) // config.token_size + 1, (height - 1) // config.token_size + 1


@dataclass(frozen=True, slots=True)
class Picture:
    """An image whose size is known; its pixels are decoded only by `array`."""

    width: int
    height: int
    image: Any

    def array(self, config: ImageConfig | Mapping[str, Any]) -> NDArray[np.float32]:
        """The pixels as the model takes them: float32 of shape (3, rows · size, columns · size), normalised.

        RGB over white, resized with OpenCV's bicubic interpolation; a transposed view, not contiguous.

        Raises ImageDecodeException if the image is truncated or damaged, ImportError without the extra `image`.
        """
        cv2, numpy = needed("cv2", "image"), needed("numpy", "image")
        config = ImageConfig.of(config)
        columns, rows = image_tokens(self.width, self.height, config)
        size = (columns * config.token_size, rows * config.token_size)
        pixels = numpy.array(_rgb(self.image), dtype=numpy.float32)
        try:
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC)
        except cv2.error as error:
            raise ImageDecodeException(
                f"An image of {self.width}×{self.height} pixels cannot be resized to {size[0]}×{size[1]}: {error}"
            ) from error
        pixels = numpy.divide(pixels, numpy.float32(255.0), dtype=numpy.float32)
        pixels -= numpy.asarray(MEAN, dtype=numpy.float32)
        pixels /= numpy.asarray(STD, dtype=numpy.float32)
        array: NDArray[np.float32] = pixels.transpose(2, 0, 1)
        return array


def load_image(
    source: object,
    *,
    inline: bool = False,
    fetcher: Fetcher | None = None,
    allow_urls: bool = False,
    allow_files: bool = True,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    timeout: float = TIMEOUT,
) -> Picture:
    """Open an image without decoding its pixels.

    `source` is a PIL image, encoded bytes, or text. Text is an address as in an `image_url` chunk: a data URL, a
    `file://` path (taken literally, relative ones included), or http; with `inline` it is the content of an `image`
    chunk: base64 or a data URL, and nothing is read from elsewhere. Addresses: see `media.Access`.

    Raises InvalidMediaException (ImageDecodeException where bytes cannot be decoded) with the reason and the remedy.
    """
    if _is_pil(source):
        return _picture(source, max_pixels)
    access = Access(fetcher, allow_urls, allow_files, max_bytes, timeout)
    if isinstance(source, bytes | bytearray | memoryview):
        label, data = "the bytes given", checked(bytes(source), max_bytes)
    elif isinstance(source, str):
        label, data = shown(source), _read(source, inline, access)
    else:
        raise InvalidMediaException(
            f"An image is a PIL image, bytes, base64 text or an address, not {type(source).__name__}."
        )
    return _picture(_opened(data, label), max_pixels)


def data_url(source: object) -> str:
    """The image of an `image` chunk as a data URL: its bytes as they are; a PIL image in its format, or as PNG."""
    if isinstance(source, str) and source.startswith("data:"):
        return source
    if _is_pil(source):
        image: Any = source
        kind, stream = image.format or "PNG", io.BytesIO()
        image.save(stream, format=kind)
        data = stream.getvalue()
    else:
        kind = load_image(source, inline=True).image.format
        data = from_base64(source, MAX_BYTES) if isinstance(source, str) else bytes(source)  # type: ignore[call-overload]
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data).decode('ascii')}"


def _read(source: str, inline: bool, access: Access) -> bytes:
    if inline or source.startswith("data:"):
        return from_base64(source, access.max_bytes)
    if source.startswith("file://"):
        return from_file(source.removeprefix("file://"), access)
    if source.startswith("http"):
        return from_url(source, access)
    raise InvalidMediaException(
        f"Unsupported image url scheme {shown(source)}: data:, file:// and http(s):// are understood."
    )


def _is_pil(source: object) -> bool:
    """Whether it is a PIL image, without importing Pillow for one that is not."""
    import sys

    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(source, pil.Image)


def _opened(data: bytes, label: str) -> Any:
    """Read the header. PostScript is refused: Pillow would run Ghostscript on it."""
    pil = needed("PIL.Image", "image")
    try:
        image = pil.open(io.BytesIO(data))
    except (pil.DecompressionBombError, pil.DecompressionBombWarning) as error:
        raise ImageDecodeException(f"The image {label} may be a decompression bomb: {error}") from error
    except Exception as error:  # Pillow's readers raise whatever a malformed header makes them stumble over
        raise ImageDecodeException(f"The payload of {label} is not a decodable image: {error}") from error
    if image.format == "EPS":
        raise ImageDecodeException(f"{label} is PostScript, a program and not a picture; convert it to PNG.")
    return image


def _picture(image: Any, max_pixels: int) -> Picture:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageDecodeException(
            f"An image of {width}×{height} pixels is larger than the {max_pixels} pixels allowed; "
            "make it smaller, or raise max_pixels."
        )
    if width < 1 or height < 1:
        raise InvalidMediaException(f"An image of {width}×{height} pixels has nothing to look at.")
    return Picture(width, height, image)


def _rgb(image: Any) -> Any:
    """The image in RGB; every other mode goes through RGBA and is put on white."""
    pil = needed("PIL.Image", "image")
    try:
        image.load()
        if image.mode == "RGB":
            return image
        layered = image if image.mode == "RGBA" else image.convert("RGBA")
        white = pil.new("RGBA", layered.size, "WHITE")
        white.paste(layered, (0, 0), layered)
        return white.convert("RGB")
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, zlib.error, struct.error …
        raise ImageDecodeException(f"The image is truncated or damaged: {error}") from error
