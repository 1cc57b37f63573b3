"""Where images and recordings come from: data URLs, base64 text, files, addresses; all within limits."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from mistral_tok.errors import InvalidMediaException

Fetcher = Callable[[str], bytes]

MAX_BYTES = 64 << 20
"""Largest encoded image or recording accepted unless the caller says otherwise."""

TIMEOUT = 10.0
"""Seconds that a download may take in all."""

_SHOWN = 64  # characters of an address in an error message: data URLs are megabytes long
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Access:
    """What may be read, and how much of it.

    http and https addresses are given to `fetcher`, or with `allow_urls` downloaded with urllib. Such a download goes
    wherever the address points, private networks and this machine included, follows redirects, and honours the
    environment's proxies: a service that takes addresses from strangers should pass a fetcher of its own that checks
    them. `allow_files=False` refuses paths, for the same reason.
    """

    fetcher: Fetcher | None = None
    allow_urls: bool = False
    allow_files: bool = True
    max_bytes: int = MAX_BYTES
    timeout: float = TIMEOUT


def needed(module: str, extra: str) -> Any:
    """Import a module of an optional dependency; the ImportError says what to install."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f"{module} is needed for this: pip install 'mistral-tok[{extra}]'") from error


def shown(text: str) -> str:
    """An address as error messages show it."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def checked(data: bytes, max_bytes: int) -> bytes:
    """`data`, or a refusal if it is empty or too large."""
    if not data:
        raise InvalidMediaException("The image or recording is empty: it has no bytes.")
    if len(data) > max_bytes:
        raise _too_large(len(data), max_bytes)
    return data


def from_base64(text: str, max_bytes: int) -> bytes:
    """The bytes of base64 text or of a `data:…;base64,` URL."""
    payload = text
    if text.startswith("data:"):
        header, comma, payload = text.partition(",")
        if not comma or not header.endswith(";base64") or not payload:
            raise InvalidMediaException(
                f"Invalid base64 data URL {shown(text)}: expected the form `data:<mime>;base64,<payload>`."
            )
    try:
        data = base64.b64decode(payload)
    except ValueError as error:
        raise InvalidMediaException(
            f"base64 decoding failed. Please check that {shown(text)} is valid base64 ({error})."
        ) from error
    return checked(data, max_bytes)


def from_file(path: str, access: Access) -> bytes:
    """The content of a regular file. Devices, pipes and directories are refused without being opened."""
    if not access.allow_files:
        raise InvalidMediaException(f"Reading files is not allowed here: {shown(path)}. Pass the bytes instead.")
    try:
        _check_regular(os.stat(path), path, access.max_bytes)
        # The file may be replaced between the look and the opening: never block, and look again.
        with open(path, "rb", opener=lambda p, flags: os.open(p, flags | getattr(os, "O_NONBLOCK", 0))) as file:
            _check_regular(os.fstat(file.fileno()), path, access.max_bytes)
            return checked(file.read(access.max_bytes + 1), access.max_bytes)
    except OSError as error:
        raise InvalidMediaException(f"Cannot read {shown(path)}: {error.strerror or error}.") from error
    except ValueError as error:
        if isinstance(error, InvalidMediaException):
            raise
        raise InvalidMediaException(f"{shown(path)!r} is not a path: {error}.") from error


def _check_regular(status: os.stat_result, path: str, max_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise InvalidMediaException(
            f"{shown(path)} is not a regular file; devices, pipes and directories are not read."
        )
    if status.st_size > max_bytes:
        raise _too_large(status.st_size, max_bytes)


def from_url(url: str, access: Access) -> bytes:
    """The content behind an http or https address, by the caller's fetcher or, if allowed, by urllib."""
    if access.fetcher is not None:
        data = access.fetcher(url)
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidMediaException(f"The fetcher gave {type(data).__name__} for {shown(url)}; it must give bytes.")
        return checked(bytes(data), access.max_bytes)
    if not access.allow_urls:
        raise InvalidMediaException(
            f"{shown(url)} is not fetched: pass a fetcher, or allow_urls=True, or the content itself as a data URL."
        )
    if not url.lower().startswith(("http://", "https://")):
        raise InvalidMediaException(f"{shown(url)} is neither an http nor an https address.")
    from http.client import HTTPException

    try:
        return checked(_download(url, access), access.max_bytes)
    except (OSError, HTTPException) as error:
        close = getattr(error, "close", None)  # urllib's HTTPError holds the connection
        if close is not None:
            close()
        raise InvalidMediaException(f"Failed to download {shown(url)}: {error}.") from error


def _download(url: str, access: Access) -> bytes:
    """Download with urllib, through handlers for http and https only: a redirect leads to no file."""
    import time
    import urllib.request as request

    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPRedirectHandler(),
        request.HTTPErrorProcessor(),
        request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    try:
        asked = request.Request(url, headers={"User-Agent": "mistral-tok"})
    except ValueError as error:
        raise InvalidMediaException(f"{shown(url)} is not an address: {error}.") from error
    deadline = time.monotonic() + access.timeout
    blocks: list[bytes] = []
    size = 0
    with opener.open(asked, timeout=access.timeout) as response:
        length = response.headers.get("Content-Length", "")
        promised = int(length) if length.isdecimal() else None
        if promised is not None and promised > access.max_bytes:
            raise _too_large(promised, access.max_bytes)
        while block := response.read1(_BLOCK):
            blocks.append(block)
            size += len(block)
            if size > access.max_bytes:
                raise _too_large(size, access.max_bytes)
            if time.monotonic() > deadline:  # the socket's own timeout starts anew with each byte that drips in
                raise TimeoutError(f"it took longer than {access.timeout} seconds")
    if promised is not None and size < promised:
        raise InvalidMediaException(f"Failed to download {shown(url)}: it ended after {size} of {promised} bytes.")
    return b"".join(blocks)


def _too_large(size: int, max_bytes: int) -> InvalidMediaException:
    return InvalidMediaException(f"{size} bytes are more than the {max_bytes} allowed; raise max_bytes to accept them.")
