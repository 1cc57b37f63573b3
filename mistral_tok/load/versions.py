"""What tells a tokenizer version from the names of its control pieces."""

from __future__ import annotations

from collections.abc import Collection

IMAGE_M1 = {"image_patch_size": 16, "max_image_size": 1024, "spatial_merge_size": 1}
"""Image settings behind the suffix `m1` of SentencePiece files."""

_SENTENCEPIECE = (("v7", "[SYSTEM_PROMPT]"), ("v3", "[PREFIX]"), ("v3", "[IMG]"), ("v2", "[INST]"))
_TEKKEN = (("v15", "[MODEL_SETTINGS]"), ("v11", "[ARGS]"), *_SENTENCEPIECE)


def sentencepiece_version(names: Collection[str], named: str = "") -> str:
    """Version of a SentencePiece file from its control pieces, newest mark first; `v1` has none.

    `named` is what the file's name says. It decides between v2 and v3 only, where the pieces cannot: a small vocabulary
    of v3 need not have the marks of infilling and images that tell it from v2.
    """
    found = next((version for version, mark in _SENTENCEPIECE if mark in names), "v1")
    return named if (found, named) == ("v2", "v3") else found


def control_version(names: Collection[str], byte_level: bool) -> str:
    """Version that control names alone prove, or `""`.

    v11 and v13 name the same tokens, and so do byte-level v3 and v7 files that list all of Tekken's first names.
    """
    if "[INST]" not in names:
        return ""
    version = next((version for version, mark in _TEKKEN if mark in names), "")
    return "" if version == "v11" or (byte_level and version == "v7") else version
