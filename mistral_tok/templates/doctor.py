"""Is the text side of a model right? Its files, in a folder or on the hub, give findings with evidence and remedy."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mistral_tok.chat.formats import FORMATS
from mistral_tok.errors import MistralTokError, VocabularyError
from mistral_tok.load.chat_template import FILE, holds_template, read_template
from mistral_tok.load.locate import GGUF_SUFFIX
from mistral_tok.mistral import MistralTokenizer
from mistral_tok.templates.compare import compare
from mistral_tok.templates.errors import TemplateException
from mistral_tok.templates.findings import Finding, agreement, settings, size, special_tokens, stopping
from mistral_tok.templates.gguf_findings import gguf_findings, holds_vocabulary
from mistral_tok.templates.template import ChatTemplate
from mistral_tok.tokenizer import Tokenizer

READING = {GGUF_SUFFIX: 0, "tokenizer.json": 1, "tekken.json": 2}
"""Vocabulary files by trustworthiness, by name or suffix; SentencePiece files come last."""


def examine(
    place: str | os.PathLike[str], *, version: str | None = None, budget: int = 200, revision: str | None = None
) -> list[Finding]:
    """What is wrong with the text side of a model; an empty list where nothing is.

    `place` is a model folder, a GGUF file, or a repository of the Hugging Face hub, of which only small files are
    downloaded (no GGUF files: fetch those, and name them).
    `version` names the tokenizer version where no file tells it. `budget` is passed to `compare`.

    Raises:
        VocabularyError: there is no such place.

    """
    folder = Path(place)
    if not folder.exists():
        from mistral_tok.load.hub import fetch_folder

        folder = fetch_folder(str(place), _is_examined, revision=revision)
    elif folder.name.endswith(GGUF_SUFFIX):
        return _gguf(folder, version, budget)
    elif not folder.is_dir():
        raise VocabularyError(f"{folder}: no folder, and no GGUF file. Give the folder of the model.")
    return _folder(folder, version, budget)


def _is_examined(name: str) -> bool:
    """Whether a file of a repository is looked at."""
    path = PurePosixPath(name)
    files = ("config.json", "generation_config.json")
    return holds_template(name) or name in files or (path.parent == PurePosixPath() and _is_vocabulary(name))


def _is_vocabulary(name: str) -> bool:
    return name in READING or ".model" in name


def _gguf(path: Path, version: str | None, budget: int) -> list[Finding]:
    """A GGUF file on its own."""
    try:
        tokenizer = Tokenizer.from_file(path)
    except (MistralTokError, OSError) as error:
        return [Finding("vocabulary", "error", f"{path.name} cannot be read: {error}", "Fetch or convert it again.")]
    found = list(gguf_findings(path, tokenizer))
    if tokenizer.chat_template is None:
        return found
    try:
        template = ChatTemplate(tokenizer.chat_template)
    except TemplateException as error:
        return [*found, Finding("chat template", "error", str(error), "Convert the model again.")]
    return [*found, *conformance(template, tokenizer, version or tokenizer.version, budget, str(path))]


def _folder(folder: Path, version: str | None, budget: int) -> list[Finding]:
    vocabularies, found = _vocabularies(folder)
    if not vocabularies:
        return [
            *found,
            Finding("vocabulary", "error", f"{folder} has no vocabulary file that can be read.", "Add one."),
        ]
    name, tokenizer = next(reversed(vocabularies.items()))
    read = {}
    for part in ("tokenizer_config", "generation_config", "config"):
        read[part], broken = _json(folder / f"{part}.json")
        found += broken
    config = read["tokenizer_config"]
    found += [*agreement(vocabularies, name), *special_tokens(config, tokenizer), *settings(config, tokenizer)]
    found += [*stopping(read["generation_config"], tokenizer), *size(read["config"], tokenizer)]
    template, more = _template(folder, config)
    found += more
    if template is not None:
        found += conformance(template, tokenizer, version or tokenizer.version, budget, str(folder / name))
    for path in sorted(folder.iterdir()):
        if path.name in vocabularies and holds_vocabulary(path.name):
            found += _gguf(path, version or tokenizer.version, budget)
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
    names = [path.name for path in folder.iterdir() if _is_vocabulary(path.name) or holds_vocabulary(path.name)]
    opened: dict[str, Tokenizer] = {}
    found = []
    for name in sorted(names, key=lambda name: (READING.get(name, READING.get(name[-5:], 3)), name)):
        try:
            opened[name] = Tokenizer.from_file(folder / name)
        except (MistralTokError, OSError) as error:
            found.append(Finding("vocabulary", "error", f"{name} cannot be read: {error}", "Fetch the file again."))
    return opened, found


def _template(folder: Path, config: dict[str, Any]) -> tuple[ChatTemplate | None, list[Finding]]:
    """The chat template of a folder."""
    found = []
    try:
        given, inside = read_template(folder), config.get("chat_template")
        if (folder / FILE).exists() and inside is not None and inside != given:
            evidence = "chat_template.jinja and tokenizer_config.json hold different templates."
            found.append(Finding("two templates", "warning", evidence, "Remove the one in tokenizer_config.json."))
        return None if given is None else ChatTemplate(given), found
    except VocabularyError:  # tokenizer_config.json is no JSON, which was told
        return None, found
    except TemplateException as error:
        return None, [*found, Finding("chat template", "error", str(error), "Fetch the file again.")]


def conformance(
    template: ChatTemplate, tokenizer: Tokenizer, version: str, budget: int, vocab: str
) -> Iterator[Finding]:
    """A chat template against the official encoder; `vocab` is the file that remedies name."""
    versions = [version] if version in FORMATS else _possible(tokenizer)
    if not versions:
        evidence = "No file tells the tokenizer version, or it is no Mistral vocabulary; the template was not compared."
        yield Finding("version", "warning", evidence, "Pass the version.")
        return
    try:
        text = template.render([{"role": "user", "content": "a"}])
    except TemplateException as error:
        yield Finding("chat template", "error", f"It fails on one user message: {error}", "Use the template on board.")
        return
    if text.startswith("<s><s>"):
        yield Finding("BOS twice", "error", f"The template prints {text[:12]!r}.", "Print bos_token once.")
    reports = [compare(template, MistralTokenizer(tokenizer, version=name), budget=budget) for name in versions]
    nearest = min(reports, key=lambda report: report.broken)
    told = f" --version {nearest.version}" if nearest.version != tokenizer.version else ""
    for difference in nearest.differences:
        evidence = difference.evidence + (f"\n  (nearest of {', '.join(versions)}: {nearest.version})" if told else "")
        yield Finding(
            f"chat template: {difference.rule}", "error", evidence, f"mistral-tok template --vocab {vocab}{told}"
        )


def _possible(tokenizer: Tokenizer) -> list[str]:
    """Versions that a vocabulary may be of whose file tells none: those whose control tokens it has."""
    names = tokenizer.special_names.keys()
    marks = {"v3": "[INST]", "v7": "[SYSTEM_PROMPT]", "v11": "[ARGS]", "v13": "[ARGS]", "v15": "[MODEL_SETTINGS]"}
    return [version for version, mark in marks.items() if mark in names and tokenizer.family != "sentencepiece"]
