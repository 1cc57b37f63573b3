"""Table images on disk: made once for each vocabulary, memory-mapped afterwards.

The folder is `$MISTRAL_TOK_CACHE`, or `mistral-tok` in the user's cache folder (XDG); `MISTRAL_TOK_CACHE=off`
switches it off. A file's name is the SHA-256 of the vocabulary's contents and of what else its tables depend on, so
that a changed vocabulary never meets old tables. Images are written beside their place and moved there. One that is
damaged, of another user or open for others to write is made anew, never trusted; a folder that cannot be written is
done without.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from mistral_tok.core.image import FORMAT, Image
from mistral_tok.load.source import Source


def folder() -> Path | None:
    """Return the cache folder, or None when the cache is off."""
    setting = os.environ.get("MISTRAL_TOK_CACHE", "")
    if setting.lower() == "off":
        return None
    if setting:
        return Path(setting).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "mistral-tok"
    except RuntimeError:  # no home folder
        return None


def key(source: Source) -> str:
    """Return the name under which the image of a vocabulary is kept.

    >>> len(key(Source(name="tokenizer.model", data=b"...")))
    64
    """
    digest = hashlib.sha256(source.data)
    rest = (FORMAT, source.name, source.images, source.beside)
    digest.update(repr(rest).encode())
    return digest.hexdigest()


def open_or_make(source: Source, make: Callable[[], bytes]) -> Image:
    """Return the image of a vocabulary from the cache, or make it and leave it there."""
    place = folder()
    if place is None:
        return Image(make())
    path = place / f"{key(source)}.tables"
    cached = _open(path)
    if cached is not None:
        return cached
    data = make()
    image = Image(data)
    with contextlib.suppress(OSError):
        _write(path, data)
    return image


def _open(path: Path) -> Image | None:
    # Neither what a link points to is trusted, nor may a pipe in the file's place make the opening wait.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or (os.name == "posix" and not _own(status)):
                return None
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return Image(view)
    except (OSError, ValueError):  # VocabularyError is a ValueError
        return None


def _own(status: os.stat_result) -> bool:
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".making-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
