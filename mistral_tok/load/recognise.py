"""Which reader for a file: by content, not by name."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from mistral_tok.errors import VocabularyError
from mistral_tok.load import gguf, sentencepiece, tekken, tokenizer_json
from mistral_tok.load.locate import HUGGING_FACE_NAME, TEKKEN_NAME
from mistral_tok.load.source import GGUF_MAGIC, Source, refused
from mistral_tok.load.typed_json import decode
from mistral_tok.vocab import Vocabulary

_JSON = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*["}]')
_TEKKEN_ENTRY = re.compile(rb'"token_bytes"\s*:\s*"')
_MODEL_TAGS = b"\x0a\x12\x1a\x22\x2a"


class _Keys(msgspec.Struct):
    """Top-level keys that tell the JSON formats apart; nothing below them is decoded."""

    config: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    vocab: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    model: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_KEYS = msgspec.json.Decoder(_Keys)


def parse(source: Source) -> Vocabulary:
    """Recognise the format by content and read it; VocabularyError names file, place and remedy."""
    try:
        return _reader(source)(source)
    except VocabularyError as error:
        raise VocabularyError(source.label + str(error).removeprefix(source.name)) from error.__cause__


def _reader(source: Source) -> Callable[[Source], Vocabulary]:
    data, name = source.data, source.name
    if data.startswith(GGUF_MAGIC):
        return gguf.read
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
    remedy = "Give a SentencePiece .model, a tekken.json, a tokenizer.json or a GGUF file."
    raise refused(name, "byte 0", problem, remedy)
