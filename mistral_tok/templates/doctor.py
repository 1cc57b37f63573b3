"""Is the text side of a model folder right? Findings with severity, evidence and remedy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mistral_tok.chat.formats import FORMATS
from mistral_tok.errors import MistralTokError
from mistral_tok.templates.compare import compare
from mistral_tok.templates.errors import TemplateException
from mistral_tok.templates.template import ChatTemplate
from mistral_tok.tokenizer import Tokenizer

TEXTS = (
    "Hello, world",
    " two  spaces",
    "HTTPServer isn't 12345",
    "naïve 日本語 🌍\n\n\tx",
    "[INST] <s>",
    "a",
    "¿Qué? ABCdef",
)
"""Texts on which the vocabulary files of one folder must agree."""

READING = {"tokenizer.json": 0, "tekken.json": 1}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, or worth a look."""

    check: str
    severity: Literal["error", "warning"]
    evidence: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.check}: {self.evidence} Remedy: {self.remedy}"


def examine(folder: str | Path, *, version: str | None = None, budget: int = 200) -> list[Finding]:
    """What is wrong with the tokenizer files of a folder; an empty list where nothing is.

    `version` names the tokenizer version where no file tells it. `budget` is passed to `compare`.
    """
    folder = Path(folder)
    vocabularies, found = _vocabularies(folder)
    if not vocabularies:
        return [
            *found,
            Finding("vocabulary", "error", f"{folder} has no vocabulary file that can be read.", "Add one."),
        ]
    name, tokenizer = next(reversed(vocabularies.items()))
    config, broken = _json(folder / "tokenizer_config.json")
    found += broken
    generation, broken = _json(folder / "generation_config.json")
    found += [*broken, *_agreement(vocabularies, name), *_special(config, tokenizer), *_settings(config, tokenizer)]
    found += [*_stopping(generation, tokenizer), *_size(folder, tokenizer)]
    sources, more = _templates(folder, config)
    found += more
    version = version or tokenizer.version
    for source in sources:
        found += _template(source, tokenizer, version, budget)
    return found


def _json(path: Path) -> tuple[dict[str, Any], list[Finding]]:
    if not path.exists():
        return {}, []
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        return {}, [Finding("files", "error", f"{path.name} is not JSON: {error}.", "Fetch the file again.")]
    if not isinstance(value, dict):
        return {}, [Finding("files", "error", f"{path.name} is no object.", "Fetch the file again.")]
    return value, []


def _vocabularies(folder: Path) -> tuple[dict[str, Tokenizer], list[Finding]]:
    """The vocabulary files that can be read; the most trustworthy last."""
    names = [path.name for path in folder.iterdir() if path.name in READING or ".model" in path.name]
    opened: dict[str, Tokenizer] = {}
    found = []
    for name in sorted(names, key=lambda name: READING.get(name, 2)):
        try:
            opened[name] = Tokenizer.from_file(folder / name)
        except (MistralTokError, OSError) as error:
            found.append(Finding("vocabulary", "error", f"{name} cannot be read: {error}", "Fetch the file again."))
    return opened, found


def _agreement(vocabularies: dict[str, Tokenizer], chosen: str) -> Iterator[Finding]:
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
        for text in TEXTS:
            if other.encode(text) != best.encode(text):
                evidence = f"{text!r} is {other.encode(text)} in {name}, {best.encode(text)} in {chosen}."
                remedy = f"Convert {chosen} again; check the split pattern, the merges and the dummy prefix."
                yield Finding("ids of text", "error", evidence, remedy)
                break


def _text_of(token: Any) -> Any:
    return token.get("content") if isinstance(token, dict) else token


def _special(config: dict[str, Any], tokenizer: Tokenizer) -> Iterator[Finding]:
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


def _settings(config: dict[str, Any], tokenizer: Tokenizer) -> Iterator[Finding]:
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


def _stopping(generation: dict[str, Any], tokenizer: Tokenizer) -> Iterator[Finding]:
    for role, own in (("eos", tokenizer.eos_id), ("bos", tokenizer.bos_id)):
        given = generation.get(f"{role}_token_id")
        stops = given if isinstance(given, list) else [given]
        if generation and (given is not None or role == "eos") and own not in stops:
            evidence = f"generation_config.json has {role}_token_id {given}, the vocabulary's is {own}."
            yield Finding("stop ids" if role == "eos" else "bos id", "error", evidence, f"Set {own}.")


def _size(folder: Path, tokenizer: Tokenizer) -> Iterator[Finding]:
    config, _ = _json(folder / "config.json")
    rows = (config.get("text_config") or config).get("vocab_size")
    if isinstance(rows, int) and rows < tokenizer.vocab_size:
        evidence = f"config.json has vocab_size {rows}, the vocabulary {tokenizer.vocab_size} pieces."
        yield Finding("embedding size", "error", evidence, "Use the files of one release.")


def _templates(folder: Path, config: dict[str, Any]) -> tuple[list[ChatTemplate], list[Finding]]:
    path = folder / "chat_template.jinja"
    given: list[Any] = [path.read_text(encoding="utf-8")] if path.exists() else []
    inside = config.get("chat_template")
    found = []
    if given and inside is not None and inside != given[0]:
        evidence = "chat_template.jinja and tokenizer_config.json hold different templates."
        found.append(Finding("two templates", "warning", evidence, "Remove the one in tokenizer_config.json."))
    try:
        return [ChatTemplate(source) for source in (given or [inside]) if source is not None], found
    except TemplateException as error:
        return [], [*found, Finding("chat template", "error", str(error), "Fetch the file again.")]


def _template(template: ChatTemplate, tokenizer: Tokenizer, version: str, budget: int) -> Iterator[Finding]:
    if version not in FORMATS:
        evidence = "No file tells the tokenizer version; the chat template was not compared."
        yield Finding("version", "warning", evidence, "Pass the version.")
        return
    try:
        text = template.render([{"role": "user", "content": "a"}])
    except TemplateException as error:
        yield Finding("chat template", "error", f"It fails on one user message: {error}", "Use the template on board.")
        return
    if text.startswith("<s><s>"):
        yield Finding("BOS twice", "error", f"The template prints {text[:12]!r}.", "Print bos_token once.")
    for difference in compare(template, tokenizer, budget=budget).differences:
        yield Finding(
            f"chat template: {difference.rule}", "error", str(difference), f"mistral-tok template --vocab {version}"
        )
