"""Which file of a folder, and which reader for a file: by content, not by name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

import msgspec

from mistral_tok.errors import VocabularyError
from mistral_tok.load import sentencepiece, tekken, tokenizer_json
from mistral_tok.load.source import Source, from_bytes, read_regular, refused, unreadable
from mistral_tok.load.typed_json import decode
from mistral_tok.vocab import VERSIONS, Vocabulary

TEKKEN_NAME = "tekken.json"
HUGGING_FACE_NAME = "tokenizer.json"
BESIDE_NAME = "tokenizer_config.json"
_SENTENCEPIECE_SUFFIXES = frozenset([".model", *(f".model.{version}{m}" for version in VERSIONS for m in ("", "m1"))])

_JSON = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*["}]')
_TEKKEN_ENTRY = re.compile(rb'"token_bytes"\s*:\s*"')
_MODEL_TAGS = b"\x0a\x12\x1a\x22\x2a"


class _Keys(msgspec.Struct):
    """Top-level keys that tell the JSON formats apart; nothing below them is decoded."""

    config: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    vocab: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    model: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_KEYS = msgspec.json.Decoder(_Keys)


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
            names = os.listdir(place)
            chosen = choose(name for name in names if (place / name).is_file())
            if chosen is None:
                raise VocabularyError(f"{place}: the folder holds {WANTED}. Give the path of a vocabulary file.")
            place = place / chosen
        beside = place.with_name(BESIDE_NAME) if place.name == HUGGING_FACE_NAME else None
        return Located(place, beside if beside is not None and beside.is_file() else None)
    except OSError as error:
        raise unreadable(place, error) from error


WANTED = f"neither {TEKKEN_NAME}, nor tokenizer.model or tokenizer.model.vN, nor {HUGGING_FACE_NAME}"


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


def parse(source: Source) -> Vocabulary:
    """Recognise the format by content and read it; VocabularyError names file, place and remedy."""
    try:
        return _reader(source)(source)
    except VocabularyError as error:
        raise VocabularyError(source.label + str(error).removeprefix(source.name)) from error.__cause__


def _reader(source: Source) -> Callable[[Source], Vocabulary]:
    data, name = source.data, source.name
    if _JSON.match(data):
        if _TEKKEN_ENTRY.search(data):
            return tekken.read
        keys = decode(_KEYS, data, name)
        if keys.model is not msgspec.UNSET:
            return tokenizer_json.read
        if keys.vocab is not msgspec.UNSET or keys.config is not msgspec.UNSET:
            return tekken.read
        raise refused(name, "$", "JSON, but not a vocabulary", f"Expected is {TEKKEN_NAME} or {HUGGING_FACE_NAME}.")
    if data.startswith(b"version https://git-lfs"):
        raise refused(name, "byte 0", "a Git LFS pointer, not the file itself", "Run `git lfs pull` in its folder.")
    if data[:1] and data[0] in _MODEL_TAGS:
        return sentencepiece.read
    problem = f"begins with {data[:16]!r}, like no vocabulary format that is read here"
    raise refused(name, "byte 0", problem, "Give a SentencePiece .model, a tekken.json or a tokenizer.json.")
