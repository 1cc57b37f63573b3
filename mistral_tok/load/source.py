"""Bytes on disk → Source: everything that a vocabulary is made from, read once and within bounds."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO

from mistral_tok.errors import VocabularyError
from mistral_tok.vocab import VERSIONS

MAX_FILE_BYTES = 1 << 27
"""Larger files are refused unread: JSON grows tenfold in memory. The largest published vocabularies have 35 MB."""

MAX_STEPS_BYTES = 1 << 20
"""Longest section of free form (a chain of steps, a template) that is decoded; published ones have a few kilobytes."""

MAX_PATTERN = 1 << 16
"""Longest regular expression (in characters) taken from a file; published ones have a few hundred."""

GGUF_MAGIC = b"GGUF"

IMAGE_SUFFIX = "m1"
"""Ending of a version suffix (`.model.v7m1`) which says that the model sees images."""

_REMEDY_DAMAGED = "The file is damaged or incomplete; download it again."


@dataclass(frozen=True, slots=True)
class Source:
    """One vocabulary file in memory. Those of equal `data`, `version`, `images` and `beside` give equal vocabularies.

    `name` is the file's name, `label` what error messages call it (its path). `version` and `images` are what a suffix
    such as `.model.v7m1` says (the empty text and False where there is none). `beside` is the content of a
    `tokenizer_config.json` next to it, which names the roles of tokens that a `tokenizer.json` leaves open.
    """

    name: str
    data: bytes
    label: str = ""
    version: str = ""
    images: bool = False
    beside: bytes | None = None


def from_bytes(data: bytes, name: str, *, label: str = "", beside: bytes | None = None) -> Source:
    """Wrap bytes that are already in memory, taking from `name` what the contents cannot tell."""
    suffix = PurePath(name).suffix if ".model.v" in name else ""
    version = suffix.removesuffix(IMAGE_SUFFIX)[1:]
    return Source(
        name=name,
        data=data,
        label=label or name,
        version=version if version in VERSIONS else "",
        images=suffix.endswith(IMAGE_SUFFIX),
        beside=beside,
    )


def read_regular(path: Path) -> bytes:
    """Content of a regular file of at most `MAX_FILE_BYTES`; anything else is a VocabularyError.

    Of a GGUF file, however large, only the head comes: the metadata, without the tensors behind it. Pipes and devices
    are refused, because reading one can block for ever or never end.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise VocabularyError(f"{path}: not a regular file. Give the path of a vocabulary file or of its folder.")
        # The path may be swapped between stat and open: O_NONBLOCK keeps a pipe from blocking, fstat looks again.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise VocabularyError(f"{path}: not a regular file. Give the path of a vocabulary file.")
            data = _content(file, status.st_size, path)
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:  # a NUL or a lone surrogate
        if isinstance(error, VocabularyError):
            raise
        raise VocabularyError(f"{str(path)[:200]!r}: not a path ({error}). Give the path of a file.") from error
    if not data:
        raise VocabularyError(f"{path}: the file is empty. {_REMEDY_DAMAGED}")
    if len(data) > MAX_FILE_BYTES:
        raise VocabularyError(f"{path}: grew past {MAX_FILE_BYTES} bytes while it was read. {_REMEDY_DAMAGED}")
    return data


def _content(file: BinaryIO, size: int, path: Path) -> bytes:
    if file.read(4) == GGUF_MAGIC:
        from mistral_tok.load.gguf_head import read_head

        file.seek(0)
        return read_head(file, size, str(path))
    if size > MAX_FILE_BYTES:
        raise VocabularyError(f"{path}: {size} bytes; no vocabulary has more than {MAX_FILE_BYTES}.")
    file.seek(0)
    return file.read(MAX_FILE_BYTES + 1)


def unreadable(path: Path, error: OSError) -> VocabularyError:
    """The error to raise when the operating system will not give us `path`."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return VocabularyError(f"{path}: no such file. Check the path, or use a bundled vocabulary by its name.")
    return VocabularyError(f"{path}: cannot be read ({error.strerror or error}). Check the path and its permissions.")


def damaged(name: str, place: str, problem: str) -> VocabularyError:
    """A VocabularyError for content that no complete file has: what, where, and to fetch the file again."""
    return VocabularyError(f"{name}: {place}: {problem}. {_REMEDY_DAMAGED}")


def refused(name: str, place: str, problem: str, remedy: str) -> VocabularyError:
    """A VocabularyError for a well-formed file that cannot be read exactly."""
    return VocabularyError(f"{name}: {place}: {problem}. {remedy}")
