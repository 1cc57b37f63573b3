"""The official vocabularies on board: mistral-common's data files, found without importing mistral-common."""

from __future__ import annotations

import functools
from importlib.util import find_spec
from pathlib import Path

from mistral_tok.errors import VocabularyError

_FILES = {
    "v1": "tokenizer.model.v1",
    "v2": "mistral_instruct_tokenizer_240216.model.v2",
    "v3": "mistral_instruct_tokenizer_240323.model.v3",
    "v3-tekken": "tekken_240718.json",
    "v3-tekken-mm": "tekken_240911.json",
    "v7": "mistral_instruct_tokenizer_241114.model.v7",
    "v7-mm": "mistral_instruct_tokenizer_241114.model.v7m1",
}


def bundled_names() -> tuple[str, ...]:
    """Names that `bundled_path` knows.

    >>> bundled_names()
    ('v1', 'v2', 'v3', 'v3-tekken', 'v3-tekken-mm', 'v7', 'v7-mm')
    """
    return tuple(_FILES)


def bundled_path(name: str) -> Path:
    """Path of an official vocabulary file; VocabularyError for an unknown name or a missing file."""
    if not isinstance(name, str) or name not in _FILES:
        raise VocabularyError(f"{name!r}: no bundled vocabulary of this name. Choose one of {', '.join(_FILES)}.")
    path = _data_folder() / _FILES[name]
    if not path.is_file():
        raise VocabularyError(
            f"{path}: missing. Install mistral-common again: pip install --force-reinstall mistral-common"
        )
    return path


@functools.cache
def _data_folder() -> Path:
    # find_spec imports the parents of a dotted name, never a top-level package itself.
    spec = find_spec("mistral_common")
    if spec is None or not spec.submodule_search_locations:
        raise VocabularyError("mistral_common: not installed; it holds the bundled files. pip install mistral-common")
    return Path(spec.submodule_search_locations[0]) / "data"
