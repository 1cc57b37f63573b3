"""Path or bytes → Vocabulary in one call."""

from __future__ import annotations

import os

from mistral_tok.load.locate import find
from mistral_tok.load.recognise import parse
from mistral_tok.load.source import from_bytes
from mistral_tok.vocab import Vocabulary


def read(path: str | os.PathLike[str]) -> Vocabulary:
    """Read a vocabulary file, or a folder as published on the hub.

    VocabularyError names file, place and remedy if there is none, if it is damaged, or if it cannot be read exactly.

    >>> from mistral_tok.load import bundled_path
    >>> read(bundled_path("v3")).version
    'v3'
    """
    return parse(find(path).read())


def read_bytes(data: bytes, name: str, *, beside: bytes | None = None) -> Vocabulary:
    """Parse a vocabulary file that is already in memory.

    `name` is its file name: errors carry it, and a suffix such as `.model.v7m1` adds that the model sees images.
    `beside` is the content of the `tokenizer_config.json` next to a `tokenizer.json`.
    """
    return parse(from_bytes(data, name, beside=beside))
