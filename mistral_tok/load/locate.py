"""Which file of a folder holds the vocabulary; only names are looked at."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from mistral_tok.errors import VocabularyError
from mistral_tok.load.source import Source, from_bytes, read_regular, unreadable
from mistral_tok.vocab import VERSIONS

TEKKEN_NAME = "tekken.json"
HUGGING_FACE_NAME = "tokenizer.json"
GGUF_SUFFIX = ".gguf"
_PART = re.compile(r"-\d{5}(?=-of-\d{5}\.gguf$)")
BESIDE_NAME = "tokenizer_config.json"
_SENTENCEPIECE_SUFFIXES = frozenset([".model", *(f".model.{version}{m}" for version in VERSIONS for m in ("", "m1"))])


@dataclass(frozen=True, slots=True)
class Located:
    """A vocabulary file that was found but not read: its path, and a settings file beside it where one matters."""

    path: Path
    beside: Path | None = None

    def read(self) -> Source:
        """Read what was found; VocabularyError if the operating system refuses."""
        beside = None if self.beside is None else read_regular(self.beside)
        return from_bytes(read_regular(self.path), self.path.name, label=str(self.path), beside=beside)


def find(path: str | os.PathLike[str]) -> Located:
    """Resolve a file, or a folder as published on the hub, to the vocabulary file; only names are looked at."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path is of type {type(path).__name__}; give a str or an os.PathLike.")
    place = Path(path)
    try:
        if place.is_dir():
            names = [name for name in os.listdir(place) if (place / name).is_file()]
            chosen = choose(names) or only_gguf(names, place)
            if chosen is None:
                held = f"{WANTED}, nor a GGUF file"
                raise VocabularyError(f"{place}: the folder holds {held}. Give the path of a vocabulary file.")
            place = place / chosen
        beside = place.with_name(BESIDE_NAME) if place.name == HUGGING_FACE_NAME else None
        return Located(place, beside if beside is not None and beside.is_file() else None)
    except OSError as error:
        raise unreadable(place, error) from error


WANTED = f"neither {TEKKEN_NAME}, nor tokenizer.model or tokenizer.model.vN, nor {HUGGING_FACE_NAME}"


def only_gguf(names: Iterable[str], place: Path) -> str | None:
    """The GGUF file among file names, if there is one; VocabularyError for several.

    Of a file in parts, the first holds the vocabulary. Image projectors (`mmproj`) hold none.

    >>> only_gguf(["a-00002-of-00002.gguf", "a-00001-of-00002.gguf", "mmproj-a.gguf"], Path())
    'a-00001-of-00002.gguf'
    """
    found = sorted(name for name in names if name.endswith(GGUF_SUFFIX) and "mmproj" not in name)
    if len(found) > 1 and len({_PART.sub("", name) for name in found}) == 1:
        found = found[:1]
    if len(found) > 1:
        raise VocabularyError(f"{place}: the folder holds {len(found)} GGUF files. Give the path of one of them.")
    return found[0] if found else None


def choose(names: Iterable[str]) -> str | None:
    """The vocabulary file among file names: Tekken, else the last SentencePiece file, else `tokenizer.json`.

    >>> choose(["tokenizer.json", "tokenizer.model", "tokenizer.model.v3"])
    'tokenizer.model.v3'
    """
    found = sorted(names)
    if TEKKEN_NAME in found:
        return TEKKEN_NAME
    models = [name for name in found if "".join(PurePath(name).suffixes) in _SENTENCEPIECE_SUFFIXES]
    if models:
        return models[-1]
    return HUGGING_FACE_NAME if HUGGING_FACE_NAME in found else None
