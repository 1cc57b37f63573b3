"""Vocabulary files from the Hugging Face hub, chosen by the same rule as in a local folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from mistral_tok.errors import VocabularyError
from mistral_tok.load.locate import BESIDE_NAME, HUGGING_FACE_NAME, WANTED, choose

_TIMEOUT = 10.0
"""Seconds to wait for the listing of a repository."""


Wanted = Callable[[str], bool]
"""Which files are wanted beside the vocabulary file, by their names in its folder."""


def fetch(
    repo_id: str,
    *,
    revision: str | None = None,
    token: bool | str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
    beside: Wanted | None = None,
) -> Path:
    """Download the vocabulary file of a model and return its path in the hub's cache.

    Files of its folder that `beside` wants are downloaded, too. Without a connection, or with `local_files_only`, what
    the cache holds is used. VocabularyError if the repository, the revision or the file cannot be had; ValueError if
    `force_download` and `local_files_only` contradict each other.
    """
    if force_download and local_files_only:
        raise ValueError("force_download and local_files_only exclude each other; give one of them.")
    place = f"{repo_id}@{revision}" if revision else str(repo_id)
    options: dict[str, Any] = {"revision": revision, "token": token}
    try:
        names = None if local_files_only else _listing(repo_id, options, force_download)
        if names is None:
            return _cached(_snapshot(repo_id, options, cache_dir), place)
        chosen = _pick(names, place)
        folder = PurePosixPath(chosen).parent
        wanted = [name for name in names if _is_beside(name, folder, beside)]
        if PurePosixPath(chosen).name == HUGGING_FACE_NAME and str(folder / BESIDE_NAME) in names:
            wanted.append(str(folder / BESIDE_NAME))
        return _download(repo_id, [*dict.fromkeys(wanted), chosen], options, cache_dir, force_download)[-1]
    except VocabularyError:
        raise
    except Exception as error:
        raise VocabularyError(f"{place}: {_explain(error)}") from error


def fetch_folder(
    repo_id: str,
    wanted: Wanted,
    *,
    revision: str | None = None,
    token: bool | str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Path:
    """Download the files of a repository that are wanted, and return the folder in the hub's cache.

    Without a connection, what the cache holds is used. VocabularyError if the repository cannot be had, or holds
    nothing that is wanted.
    """
    place = f"{repo_id}@{revision}" if revision else str(repo_id)
    options: dict[str, Any] = {"revision": revision, "token": token}
    try:
        names = _listing(repo_id, options, False)
        if names is None:
            return _snapshot(repo_id, options, cache_dir)
        chosen = [name for name in names if wanted(name)]
        if not chosen:
            raise VocabularyError(f"{place}: the repository holds {WANTED}. Give the id of a Mistral model.")
        path = _download(repo_id, chosen, options, cache_dir, False)[-1]
        return path.parents[len(PurePosixPath(chosen[-1]).parts) - 1]
    except VocabularyError:
        raise
    except Exception as error:
        raise VocabularyError(f"{place}: {_explain(error)}") from error


def _listing(repo_id: str, options: dict[str, Any], required: bool) -> list[str] | None:
    """The names of all files; None where there is no connection, unless the listing is required."""
    import huggingface_hub

    try:
        # Not list_repo_files: it tries for half a minute before it says that there is no connection.
        info = huggingface_hub.HfApi().model_info(repo_id, timeout=_TIMEOUT, **options)
    except Exception as error:
        if required or not _no_connection(error):
            raise
        return None
    return [file.rfilename for file in info.siblings or ()]


def _download(
    repo_id: str, names: list[str], options: dict[str, Any], cache_dir: Any, force_download: bool
) -> list[Path]:
    import huggingface_hub

    more = {"cache_dir": cache_dir, "force_download": force_download, **options}
    return [Path(huggingface_hub.hf_hub_download(repo_id, name, **more)) for name in names]


def _snapshot(repo_id: str, options: dict[str, Any], cache_dir: Any) -> Path:
    """The folder of what the cache holds."""
    import huggingface_hub

    return Path(huggingface_hub.snapshot_download(repo_id, local_files_only=True, cache_dir=cache_dir, **options))


def _is_beside(name: str, folder: PurePosixPath, wanted: Wanted | None) -> bool:
    path = PurePosixPath(name)
    return wanted is not None and path.is_relative_to(folder) and wanted(str(path.relative_to(folder)))


def _pick(names: Iterable[str], place: str) -> str:
    """The vocabulary file of a repository: at the top, or else in the folder that comes first."""
    folders: dict[PurePosixPath, list[str]] = {}
    for name in names:
        path = PurePosixPath(name)
        folders.setdefault(path.parent, []).append(path.name)
    for folder in sorted(folders, key=lambda folder: (len(folder.parts), folder)):
        chosen = choose(folders[folder])
        if chosen is not None:
            return str(folder / chosen)
    raise VocabularyError(f"{place}: the repository holds {WANTED}. Give the id of a Mistral model.")


def _cached(root: Path, place: str) -> Path:
    return root / _pick((path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()), place)


def _no_connection(error: Exception) -> bool:
    """Whether the hub could not be reached or is out of order, so that the cache may stand in for it."""
    # The hub's library re-exports the base error of whichever HTTP client its version uses.
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    response = getattr(error, "response", None)
    if response is not None:
        return bool(getattr(response, "status_code", 0) >= 500)
    return isinstance(error, (OSError, HTTPError))


def _explain(error: Exception) -> str:
    """What went wrong, and what to do, for the errors that the hub's library raises."""
    from huggingface_hub import errors

    remedies: tuple[tuple[type[Exception], str], ...] = (
        (errors.GatedRepoError, "access to this model has to be asked for on its page. Then give a token."),
        (errors.RevisionNotFoundError, "no such revision. Check the branch, tag or commit."),
        (errors.RepositoryNotFoundError, "no such repository, or a private one. Check the id, or give a token."),
        (errors.HFValidationError, f"not the id of a repository ({_first_line(error)}). It reads like `owner/name`."),
        (errors.LocalEntryNotFoundError, "neither a connection nor a copy in the cache. Connect, or check cache_dir."),
        (errors.EntryNotFoundError, "the file is listed but missing. Try again, or name a revision."),
    )
    for kind, text in remedies:
        if isinstance(error, kind):
            return text
    return f"the download failed ({type(error).__name__}: {_first_line(error)}). Check the connection and try again."


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
