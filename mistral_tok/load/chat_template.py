"""Chat templates in model folders: where transformers reads and writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mistral_tok.errors import VocabularyError

FILE = "chat_template.jinja"
FOLDER = "additional_chat_templates"
CONFIG = "tokenizer_config.json"
IN_USE = "chat_template_in_use"
"""Key of `tokenizer_config.json` that tells that whoever saved the folder had set its chat template."""

Named = str | dict[str, str]
"""A chat template, or several by name."""


def holds_template(name: str) -> bool:
    """Whether the file of a model folder can hold a chat template."""
    path = PurePosixPath(name)
    return name in (FILE, CONFIG) or (str(path.parent) == FOLDER and path.suffix == ".jinja")


def read_template(folder: Path) -> Named | None:
    """The chat template of a folder: `chat_template.jinja` and what is beside it, else from `tokenizer_config.json`.

    Raises:
        VocabularyError: a file is not UTF-8, or not JSON.

    """
    found = {"default": _text(folder / FILE)} if (folder / FILE).is_file() else {}
    found |= {path.stem: _text(path) for path in sorted((folder / FOLDER).glob("*.jinja"))}
    if found:
        return found["default"] if found.keys() == {"default"} else found
    inside = read_config(folder).get("chat_template")
    if isinstance(inside, list):
        return {entry["name"]: entry["template"] for entry in inside}
    return inside if isinstance(inside, str | dict) else None


def read_config(folder: Path) -> dict[str, Any]:
    """`tokenizer_config.json` of a folder, empty where there is none; VocabularyError for what is no JSON object."""
    path = folder / CONFIG
    if not path.is_file():
        return {}
    try:
        value = json.loads(_text(path))
    except ValueError as error:
        raise VocabularyError(f"{path}: not JSON: {error}. Fetch the file again.") from None
    if not isinstance(value, dict):
        raise VocabularyError(f"{path}: no JSON object. Fetch the file again.")
    return value


def in_use(folder: Path) -> bool:
    """Whether a folder says that its chat template had been set by whoever saved it."""
    path = folder / CONFIG
    return path.is_file() and IN_USE.encode() in path.read_bytes() and read_config(folder).get(IN_USE) is True


def files_of(template: Named, config: Mapping[str, Any], *, used: bool, jinja: bool = True) -> dict[str, bytes]:
    """The files that a template is saved as, by name: Jinja files, or else all in `tokenizer_config.json`.

    `config` is what that file holds already; what says whether the template is in use is added to it.
    """
    kept = {key: value for key, value in config.items() if key != "chat_template"}
    named = {"default": template} if isinstance(template, str) else template
    found: dict[str, bytes] = {}
    if jinja:
        for name, text in named.items():
            found[FILE if name == "default" else f"{FOLDER}/{name}.jinja"] = text.encode()
    elif isinstance(template, str):
        kept["chat_template"] = template
    else:
        kept["chat_template"] = [{"name": name, "template": text} for name, text in named.items()]
    if used or not jinja or IN_USE in kept:
        kept[IN_USE] = used
        found[CONFIG] = (json.dumps(kept, indent=2, ensure_ascii=False) + "\n").encode()
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise VocabularyError(f"{path}: not UTF-8 at byte {error.start}. Fetch the file again.") from None
