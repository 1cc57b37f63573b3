"""What can be wrong with the files beside a vocabulary: each check yields findings."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from mistral_tok.tokenizer import Tokenizer

TEXTS = (
    "Hello, world",
    " two  spaces",
    "HTTPServer isn't 12345",
    "naïve 日本語 🌍\n\n\tx",
    "[INST] <s>",
    "a",
    "¿Qué? ABCdef",
    "it's we'LL I'd 'tis",
    "fooBar FooBAR ÀéÎ x2y",
    "a/b\\c -- (d)!?\r\n  e",
)
"""Texts that patterns split differently, as they treat contractions, capitals, digits or white space."""

PIECES = 2000
"""Random rows of pieces that are decoded and encoded again."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, or worth a look."""

    check: str
    severity: Literal["error", "warning"]
    evidence: str
    remedy: str

    def __str__(self) -> str:
        gap = "\n  " if "\n" in self.evidence else " "
        return f"{self.severity}: {self.check}: {self.evidence}{gap}Remedy: {self.remedy}"


def agreement(vocabularies: dict[str, Tokenizer], chosen: str) -> Iterator[Finding]:
    """Vocabulary files of one folder: sizes, control tokens, and the ids of texts."""
    best = vocabularies[chosen]
    for name, other in vocabularies.items():
        if name == chosen:
            continue
        if other.vocab_size != best.vocab_size:
            evidence = f"{name} has {other.vocab_size} pieces, {chosen} {best.vocab_size}."
            yield Finding("vocabulary size", "error", evidence, "Use files of one release.")
        wrong = [n for n, i in best.special_names.items() if other.special_names.get(n, i) != i]
        if wrong:
            yield Finding(
                "control ids", "error", f"{name} and {chosen} number {wrong[:5]} differently.", f"Convert {chosen}."
            )
        lacking = [
            n for n in best.special_names if n not in other.special_names and not n.startswith(("<SPECIAL", "[control"))
        ]
        if lacking:
            evidence = f"{name} does not mark {lacking[:5]} as control tokens."
            yield Finding("control tokens", "error", evidence, 'Set "special": true for them in added_tokens.')
        wrong_texts = [text for text in _texts(best) if other.encode(text) != best.encode(text)]
        if wrong_texts:
            text = min(wrong_texts, key=len)
            evidence = f"{text!r} is {other.encode(text)} in {name}, {best.encode(text)} in {chosen}."
            remedy = f"Convert {chosen} again; check the split pattern, the merges and the dummy prefix."
            yield Finding("ids of text", "error", evidence, remedy)


def _texts(tokenizer: Tokenizer) -> list[str]:
    """Texts on which vocabulary files must agree: some that tell patterns apart, and pieces put side by side."""
    source = random.Random(0)
    ids = range(tokenizer.vocab_size)
    rows = [source.choices(ids, k=source.randint(1, 4)) for _ in range(PIECES)]
    return [*TEXTS, *(text for text in tokenizer.decode_batch(rows) if "\ufffd" not in text)]


def _text_of(token: Any) -> Any:
    return token.get("content") if isinstance(token, dict) else token


def special_tokens(config: dict[str, Any], tokenizer: Tokenizer) -> Iterator[Finding]:
    """Named tokens and `added_tokens_decoder`."""
    for role in ("bos", "eos", "unk", "pad"):
        name = _text_of(config.get(f"{role}_token"))
        own = getattr(tokenizer, f"{role}_id")
        if name is None:
            if config and role in ("bos", "eos"):
                yield Finding(
                    f"{role} token", "error", f"tokenizer_config.json names no {role}_token.", f"Add {role}_token."
                )
            continue
        try:
            found = tokenizer.id(name)
        except KeyError:
            yield Finding(
                f"{role} token", "error", f"{role}_token {name!r} is no piece.", "Name one of the vocabulary."
            )
            continue
        if role in ("bos", "eos") and found != own:
            evidence = f"{role}_token {name!r} has id {found}, the vocabulary's is {own}."
            yield Finding(f"{role} token", "error", evidence, f"Set it to {tokenizer.piece(own)!r}.")
        if role == "pad" and found == tokenizer.eos_id:
            evidence = f"pad_token is {name!r}, the end of sequence: losses that mask padding forget to stop."
            yield Finding("pad token", "warning", evidence, "Use a token of its own, such as <pad>, or <unk>.")
    if config and config.get("pad_token") is None:
        yield Finding("pad token", "warning", "There is no pad_token; batches cannot be padded.", "Set pad_token.")
    for number, token in (config.get("added_tokens_decoder") or {}).items():
        name, identity = token.get("content"), tokenizer.special_names.get(token.get("content"))
        if identity is None:
            continue
        if str(identity) != str(number):
            evidence = f"added_tokens_decoder gives {name!r} the id {number}, the vocabulary {identity}."
            yield Finding("control ids", "error", evidence, "Use the vocabulary's id.")
        elif not token.get("special"):
            evidence = f"added_tokens_decoder does not mark {name!r} as special."
            yield Finding("control tokens", "error", evidence, 'Set "special": true.')


def settings(config: dict[str, Any], tokenizer: Tokenizer) -> Iterator[Finding]:
    """Settings of `tokenizer_config.json` that change ids or batches."""
    if config.get("padding_side") == "right":
        evidence = 'padding_side is "right"; generation in batches needs "left".'
        yield Finding("padding side", "warning", evidence, 'Set "left".')
    length = config.get("model_max_length")
    if isinstance(length, int | float) and length < 2048:
        yield Finding("length", "warning", f"model_max_length is {length}.", "Set the model's context length.")
    if config.get("add_eos_token"):
        yield Finding("EOS added", "error", "add_eos_token is true: prompts end before the answer.", "Set false.")
    if config.get("add_prefix_space") is False and tokenizer.family == "sentencepiece":
        yield Finding(
            "dummy prefix", "error", "add_prefix_space is false; the vocabulary has a dummy prefix.", "Remove it."
        )
    if config.get("clean_up_tokenization_spaces"):
        evidence = "clean_up_tokenization_spaces changes decoded text."
        yield Finding("decoding", "warning", evidence, "Set it to false.")


def stopping(generation: dict[str, Any], tokenizer: Tokenizer) -> Iterator[Finding]:
    """Where generation begins and stops, by `generation_config.json`."""
    for role, own in (("eos", tokenizer.eos_id), ("bos", tokenizer.bos_id)):
        given = generation.get(f"{role}_token_id")
        stops = given if isinstance(given, list) else [given]
        if generation and (given is not None or role == "eos") and own not in stops:
            evidence = f"generation_config.json has {role}_token_id {given}, the vocabulary's is {own}."
            yield Finding("stop ids" if role == "eos" else "bos id", "error", evidence, f"Set {own}.")


def size(config: dict[str, Any], tokenizer: Tokenizer) -> Iterator[Finding]:
    """Rows of the embedding, by `config.json`."""
    rows = (config.get("text_config") or config).get("vocab_size")
    if isinstance(rows, int) and rows < tokenizer.vocab_size:
        evidence = f"config.json has vocab_size {rows}, the vocabulary {tokenizer.vocab_size} pieces."
        yield Finding("embedding size", "error", evidence, "Use the files of one release.")
