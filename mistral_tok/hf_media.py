"""Images and recordings in messages as Hugging Face's users write them, and as models take them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mistral_tok.encoding import torch_tensor

_BASE64 = "data:image/unk;base64,"
_LONGEST_PATH = 4096


def adapted(message: dict[str, Any]) -> dict[str, Any]:
    """The message in OpenAI's format: itself, or a copy if it has chunks of type `image` or `audio`.

    Raises:
        ValueError: such a chunk holds no image or recording.

    """
    content = message.get("content")
    if isinstance(content, str) or not isinstance(content, list | tuple):
        return message
    if not any(isinstance(chunk, Mapping) and chunk.get("type") in ("image", "audio") for chunk in content):
        return message
    return {**message, "content": [_chunk(chunk) for chunk in content]}


def _chunk(chunk: Any) -> Any:
    kind = chunk.get("type") if isinstance(chunk, Mapping) else None
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": _image(chunk)}}
    if kind == "audio":
        held = chunk.get("audio")
        return {"type": "audio_url", "audio_url": {"url": _held(held, "") or _address(chunk, "Audio", "")}}
    return chunk


def _image(chunk: Mapping[str, Any]) -> str:
    held = chunk.get("image")
    if held is None or isinstance(held, str | os.PathLike):
        return _held(held, _BASE64) or _address(chunk, "Image", _BASE64)
    from mistral_tok.chat.image import data_url

    return data_url(held)


def _held(value: Any, header: str) -> str | None:
    """Where a medium lies that a chunk names by its own type: an address, a path, or base64 text."""
    if not isinstance(value, str | os.PathLike):
        return None
    text = os.fspath(value)
    if text.startswith(("http://", "https://", "file://", "data:")):
        return text
    return Path(text).resolve().as_uri() if len(text) < _LONGEST_PATH and os.path.isfile(text) else header + text


def _address(chunk: Mapping[str, Any], name: str, header: str) -> str:
    """Where the medium of a chunk lies: its `url`, `path` or `base64`."""
    if url := chunk.get("url"):
        return str(url)
    if path := chunk.get("path"):
        return str(path) if str(path).startswith("file://") else Path(path).resolve().as_uri()
    if data := chunk.get("base64"):
        return str(data) if not header or str(data).startswith("data:") else header + str(data)
    raise ValueError(f"{name} content must be specified: the chunk needs `url`, `path` or `base64`.")


def pixels(images: list[Any], kind: str | None) -> tuple[Any, Any]:
    """Images of shape (3, height, width) and their sizes: lists, or one array or tensor for all.

    Smaller images are filled up with zeros at the right and the bottom; `image_sizes` tell what is image.
    """
    sizes = [[int(image.shape[1]), int(image.shape[2])] for image in images]
    if kind is None:
        return images, sizes
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    batch = np.zeros((len(images), 3, height, width), images[0].dtype)
    for image, (rows, columns), place in zip(images, sizes, batch, strict=True):
        place[:, :rows, :columns] = image
    found = batch, np.array(sizes, np.int64)
    return found if kind == "np" else (torch_tensor(found[0]), torch_tensor(found[1]))


def audio_of(audio: Any) -> Any:
    """The samples of a prepared recording: float array of one dimension."""
    return audio.samples
