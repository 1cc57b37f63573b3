"""Hugging Face `tokenizer.json` → Vocabulary: Llama-style BPE with byte fallback, and byte-level BPE.

Not read is what belongs to a call rather than to a vocabulary: truncation, padding, and tokens that a post-processor
adds. Special tokens are never met in text, which is the tokenizers package's behaviour with `encode_special_tokens` on.
"""

from __future__ import annotations

from array import array
from typing import Any

import msgspec

from mistral_tok.load.byte_level import RESULTS, Merges, contents, triples
from mistral_tok.load.hf_pipeline import Pipeline, Step, understand
from mistral_tok.load.hf_roles import roles
from mistral_tok.load.hf_tokens import AddedToken, Tokens, check_matching, number
from mistral_tok.load.source import MAX_STEPS_BYTES, Source, refused
from mistral_tok.load.typed_json import decode
from mistral_tok.load.versions import control_version
from mistral_tok.vocab import NEVER, SPACE, Kind, Vocabulary

_REMEDY = "Use the tokenizers package for this file, or the official file of the model."


_NULL = msgspec.Raw(b"null")


class _File(msgspec.Struct):
    model: msgspec.Raw
    version: str = "1.0"
    added_tokens: list[AddedToken] = []
    normalizer: msgspec.Raw = _NULL
    pre_tokenizer: msgspec.Raw = _NULL
    post_processor: msgspec.Raw = _NULL
    decoder: msgspec.Raw = _NULL


class _ModelType(msgspec.Struct):
    type: str | None = None


class _Model(msgspec.Struct):
    vocab: dict[str, int]
    merges: list[str | tuple[str, str]]
    dropout: float | None = None
    unk_token: str | None = None
    continuing_subword_prefix: str | None = None
    end_of_word_suffix: str | None = None
    byte_fallback: bool = False
    ignore_merges: bool = False


_FILE = msgspec.json.Decoder(_File)
_TYPE = msgspec.json.Decoder(_ModelType)
_MODEL = msgspec.json.Decoder(_Model)
_STEP: msgspec.json.Decoder[dict[str, Any] | None] = msgspec.json.Decoder(dict[str, Any] | None)


def read(source: Source) -> Vocabulary:
    """Parse a tokenizer.json; VocabularyError if it is damaged or does what cannot be followed exactly."""
    name = source.name
    file = decode(_FILE, source.data, name)
    model = _read_model(file, name)
    normalizer, pre_tokenizer, post_processor, decoder = (
        _section(file, key, name) for key in ("normalizer", "pre_tokenizer", "post_processor", "decoder")
    )
    pipeline = understand(normalizer, pre_tokenizer, decoder, name)
    check_matching(file.added_tokens, pipeline.normalizes, name)
    tokens = number(model.vocab, file.added_tokens, name)
    byte_level = pipeline.family == "bytelevel"
    if byte_level:
        _check_user_defined(tokens, name)
        pieces = contents(tokens, name, "$.model.vocab", _REMEDY)
    else:
        pieces = _llama_pieces(tokens, model, name)
    found = roles(tokens.ids, model.unk_token, post_processor, source.beside, name)
    controls = {content for content, kind in zip(tokens.contents, tokens.kinds, strict=True) if kind == Kind.CONTROL}
    return Vocabulary(
        name=name,
        family=pipeline.family,
        version=control_version(controls, byte_level),
        pieces=tuple(pieces),
        kinds=bytes(tokens.kinds),
        ranks=array("I", [NEVER]) * len(pieces),
        merges=_merges(model, tokens, byte_level, name),
        pattern=pipeline.pattern,
        prefix=pipeline.prefix,
        split_spaces=pipeline.split_spaces,
        whole_pieces=model.ignore_merges,
        config=_config(pipeline, tokens, name),
        bos_id=found["bos"],
        eos_id=found["eos"],
        unk_id=found["unk"],
        pad_id=found["pad"],
    )


def _section(file: _File, key: str, name: str) -> Step | None:
    """One chain of steps. What is longer than any real one is refused before it grows in memory."""
    raw: msgspec.Raw = getattr(file, key)
    if len(memoryview(raw)) > MAX_STEPS_BYTES:
        raise refused(name, f"$.{key}", f"{len(memoryview(raw))} bytes", f"At most {MAX_STEPS_BYTES} are read.")
    return decode(_STEP, raw, f"{name}: $.{key}")


def _read_model(file: _File, name: str) -> _Model:
    if file.version != "1.0":
        raise refused(name, "$.version", f"{file.version!r} instead of '1.0'", _REMEDY)
    kind = decode(_TYPE, file.model, name).type
    if kind not in (None, "BPE"):
        raise refused(name, "$.model.type", f"a {kind} model, not BPE", _REMEDY)
    model = decode(_MODEL, file.model, name)
    checks = (
        (not model.dropout, "dropout", "merges are dropped at random"),
        (not model.continuing_subword_prefix, "continuing_subword_prefix", "pieces inside words carry a prefix"),
        (not model.end_of_word_suffix, "end_of_word_suffix", "pieces at word ends carry a suffix"),
    )
    for fine, key, problem in checks:
        if not fine:
            raise refused(name, f"$.model.{key}", problem, _REMEDY)
    return model


def _config(pipeline: Pipeline, tokens: Tokens, name: str) -> dict[str, object]:
    """What a Vocabulary has no field for.

    `format` says whose decoding rules hold; `unmatched: drop`, that what the pattern leaves out is dropped;
    `prefix_scope: segment`, that every part of a text between user-defined pieces gets the prefix.
    """
    config: dict[str, object] = {"format": "tokenizer.json"}
    if pipeline.drops_gaps:
        config["unmatched"] = "drop"
    if pipeline.prefix != "never" and Kind.USER_DEFINED in tokens.kinds:
        if not pipeline.prefix_each_part:
            first = tokens.contents[tokens.kinds.index(Kind.USER_DEFINED)]
            problem = f"{first!r} is not special, and a text that begins with it gets no prefix space"
            raise refused(name, "$.added_tokens", problem, _REMEDY)
        config["prefix_scope"] = "segment"
    return config


def _llama_pieces(tokens: Tokens, model: _Model, name: str) -> list[bytes]:
    """UTF-8 of the contents; `<0x41>` becomes its byte, and its kind BYTE."""
    if not model.byte_fallback:
        raise refused(name, "$.model.byte_fallback", "the model has no byte fallback", _REMEDY)
    if model.ignore_merges:
        raise refused(name, "$.model.ignore_merges", "whole texts are looked up before merging", _REMEDY)
    bytes_by_name = {f"<0x{value:02X}>": bytes([value]) for value in range(256)}
    pieces: list[bytes] = []
    for i, content in enumerate(tokens.contents):
        kind = tokens.kinds[i]
        if content in bytes_by_name:
            if kind != Kind.NORMAL:
                raise refused(name, f"id {i}", f"the byte piece {content} is an added token too", _REMEDY)
            tokens.kinds[i] = Kind.BYTE
        if kind == Kind.CONTROL and len(content) == 1 and content in model.vocab:
            raise refused(name, f"id {i}", f"special {content!r} can be met in ordinary text", _REMEDY)
        if (kind == Kind.NORMAL and " " in content) or (kind == Kind.USER_DEFINED and SPACE in content):
            raise refused(name, f"id {i}", f"{content[:40]!r} mixes up the two kinds of space", _REMEDY)
        pieces.append(bytes_by_name.get(content) or content.encode())
    return pieces


def _check_user_defined(tokens: Tokens, name: str) -> None:
    """Refuse added tokens of byte-level files that are not special and decode in another way than they look."""
    for i, content in enumerate(tokens.contents):
        if tokens.kinds[i] == Kind.USER_DEFINED and not content.isascii():
            problem = f"added token {content[:40]!r} is not ASCII, so that it may decode as bytes"
            raise refused(name, f"id {i}", problem, _REMEDY)


def _merges(model: _Model, tokens: Tokens, byte_level: bool, name: str) -> Merges:
    """Triples of ids in order of priority. A pair that is listed twice counts where it stands last, as in tokenizers.

    Merges with byte pieces are refused where those stand for bytes without a character, outside byte-level files.
    """
    # A line "#version" is the head of the merges.txt that older files were made from.
    lines = ((i, p) for i, p in enumerate(model.merges) if not (isinstance(p, str) and p.startswith("#version")))
    parts = RESULTS | {Kind.BYTE} if byte_level else RESULTS
    allowed = bytes(kind in parts for kind in tokens.kinds)
    merged: dict[int, tuple[int, int, int]] = {}
    for triple in triples(lines, model.vocab, tokens.kinds, allowed, name, "$.model.merges", _REMEDY):
        key = triple[0] << 32 | triple[1]
        merged.pop(key, None)
        merged[key] = triple
    return tuple(merged.values())
