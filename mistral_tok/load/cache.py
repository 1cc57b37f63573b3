"""Table images on disk: made once for each vocabulary, memory-mapped afterwards.

The folder is `$MISTRAL_TOK_CACHE`, or `mistral-tok` in the user's cache folder (XDG); `MISTRAL_TOK_CACHE=off`
switches it off. A file's name is the SHA-256 of the vocabulary's contents and of what else its tables depend on, so
that a changed vocabulary never meets old tables. Images are written beside their place and moved there. One that is
damaged, of another user or open for others to write is made anew, never trusted; a folder that cannot be written is
done without.

A note beside the images says which of them belongs to a file as it was last read: its place, size and times, among
them the one that no program can set. It saves reading and hashing a file that has not changed since.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from mistral_tok.core.image import FORMAT, Image
from mistral_tok.load.locate import Located
from mistral_tok.load.source import Source

T = TypeVar("T")


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


def open_or_make(located: Located, make: Callable[[Source], bytes]) -> Image:
    """Return the image of a vocabulary from the cache, or make it and leave it there."""
    place = folder()
    if place is None:
        return Image(make(located.read()))
    note = place / f"{_state(located)}.key"
    name = _read_note(note)
    cached = _open(place / f"{name}.tables") if name else None
    if cached is not None:
        return cached
    source = located.read()
    name = key(source)
    cached = _open(place / f"{name}.tables")
    if cached is None:
        data = make(source)
        cached = Image(data)
        with contextlib.suppress(OSError):
            _write(place / f"{name}.tables", data)
    if _settled(located):
        with contextlib.suppress(OSError):
            _write(note, name.encode())
    return cached


def _state(located: Located) -> str:
    """Return a name for the files as they are now: it changes whenever one of them is written or replaced."""
    files = [p for p in (located.path, located.beside) if p is not None]
    marks = []
    for path in files:
        with contextlib.suppress(OSError):
            s = os.stat(path)
            marks.append((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns))
    return hashlib.sha256(repr((FORMAT, [str(p.absolute()) for p in files], marks)).encode()).hexdigest()


def _settled(located: Located) -> bool:
    """Tell whether the files are so old that another write would show in their times, whatever the clock's grain."""
    try:
        newest = max(os.stat(p).st_ctime for p in (located.path, located.beside) if p is not None)
    except OSError:
        return False
    return newest < time.time() - 2


def _read_note(path: Path) -> str | None:
    data = _read_own(path, lambda file: file.read(65))
    text = data.decode("ascii", "replace") if data else ""
    return text if len(text) == 64 and set(text) <= set("0123456789abcdef") else None


def _open(path: Path) -> Image | None:
    view = _read_own(path, lambda file: memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    try:
        return None if view is None else Image(view)
    except ValueError:  # VocabularyError is one
        return None


def _read_own(path: Path, read: Callable[[BinaryIO], T]) -> T | None:
    """Read a file of the cache that is the user's own; None for any other, and for what cannot be read."""
    # Neither what a link points to is trusted, nor may a pipe in the file's place make the opening wait.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or (os.name == "posix" and not _own(status)):
                return None
            return read(file)
    except (OSError, ValueError):
        return None


def _own(status: os.stat_result) -> bool:
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    import tempfile

    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".making-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
