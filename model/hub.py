"""Fetching checkpoints from the Hugging Face hub, and sending them there."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .errors import WeightsError

_REPO = re.compile(r"[\w.-]+(/[\w.-]+)?")


def resolve(place: str | Path, gguf_file: str | None, **options: Any) -> Path:
    """The local folder or file that `place` names, fetched from the hub if it is a repository and not a path.

    `options` (revision, token, cache_dir, local_files_only) go to huggingface_hub, which also honours HF_HUB_OFFLINE.
    Raises WeightsError if there is neither a path nor a repository of that name.
    """
    path = Path(place)
    if path.exists():
        return path / gguf_file if gguf_file else path
    repo = str(place)
    if isinstance(place, Path) or not _REPO.fullmatch(repo) or repo.startswith("."):
        raise WeightsError(f"{place} does not exist, and is no name of a repository either.")
    try:
        return _fetch(repo, gguf_file, options)
    except (OSError, ValueError) as error:  # what huggingface_hub raises for anything that it cannot get
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{place} is no local path, and cannot be fetched from the hub: {error}") from error


def _fetch(repo: str, gguf_file: str | None, options: dict[str, Any]) -> Path:
    from huggingface_hub import hf_hub_download, snapshot_download

    if gguf_file:
        return Path(hf_hub_download(repo, gguf_file, **options))
    # The small files first: they tell which of two layouts to take, where a repository has both.
    small = ["config.json", "generation_config.json", "params.json", "*.index.json"]
    folder = Path(snapshot_download(repo, allow_patterns=small, **options))
    stem = "model" if (folder / "config.json").is_file() else "consolidated"
    folder = Path(snapshot_download(repo, allow_patterns=[f"{stem}*.safetensors"], **options))
    if stem == "model" and (folder / "params.json").is_file() and not any(folder.glob("model*.safetensors")):
        folder = Path(snapshot_download(repo, allow_patterns=["consolidated*.safetensors"], **options))
    return folder


def fetch_beside(repo: str, patterns: Sequence[str], **options: Any) -> Path:
    """Fetch further files of a repository into the folder of its weights, those that it has; `options` as above."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repo, allow_patterns=list(patterns), **options))


def push(repo: str, save: Callable[[str], None], *, private: bool | None, token: str | None, message: str) -> str:
    """Create the repository if needed, let `save` fill a folder, upload it; returns the address of the commit."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    repo_id = api.create_repo(repo, private=private, exist_ok=True).repo_id
    with tempfile.TemporaryDirectory() as folder:
        save(folder)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message))
