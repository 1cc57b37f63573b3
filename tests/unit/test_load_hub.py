"""Files from the hub: a server on this machine stands in for it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hub_support import COMMIT, point_at, serving

from mistral_tok.errors import VocabularyError
from mistral_tok.load import hub
from mistral_tok.load.chat_template import holds_template, read_template

REPOSITORIES = {
    "org/tekken": {"tekken.json": b"T", "tokenizer.model.v3": b"S", "tokenizer.json": b"J", "README.md": b"-"},
    "org/spm": {"tokenizer.model": b"1", "tokenizer.model.v3": b"3", "tokenizer.json": b"J"},
    "org/hf": {"tokenizer.json": b"J", "tokenizer_config.json": b"C"},
    "org/template": {
        "tekken.json": b"T",
        "chat_template.jinja": b"{{ x }}",
        "additional_chat_templates/rag.jinja": b"r",
        "tokenizer_config.json": b"{}",
        "model.safetensors": b"-",
    },
    "org/deep": {"original/tokenizer.model.v1": b"O", "README.md": b"-"},
    "org/none": {"README.md": b"-", "model.safetensors": b"-"},
}


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty cache folder, with the hub's library talking to the stand-in."""
    with serving(REPOSITORIES, monkeypatch, tmp_path / "hub"):
        yield tmp_path / "hub"


def disconnect(monkeypatch: pytest.MonkeyPatch) -> None:
    point_at(monkeypatch, "http://127.0.0.1:9")  # the discard port: nobody listens


@pytest.mark.parametrize(
    ("repo", "name", "content"),
    [
        ("org/tekken", "tekken.json", b"T"),
        ("org/spm", "tokenizer.model.v3", b"3"),
        ("org/hf", "tokenizer.json", b"J"),
        ("org/deep", "tokenizer.model.v1", b"O"),
    ],
)
def test_the_rule_of_a_folder_decides(repo: str, name: str, content: bytes, cache: Path) -> None:
    path = hub.fetch(repo, cache_dir=cache)
    assert (path.name, path.read_bytes()) == (name, content)
    assert hub.fetch(repo, cache_dir=cache, revision=COMMIT, force_download=True).read_bytes() == content


def test_only_what_is_needed_is_downloaded(cache: Path) -> None:
    assert {p.name for p in hub.fetch("org/tekken", cache_dir=cache).parent.iterdir()} == {"tekken.json"}
    beside = hub.fetch("org/hf", cache_dir=cache).parent
    assert {p.name for p in beside.iterdir()} == {"tokenizer.json", "tokenizer_config.json"}


def test_what_is_wanted_beside_is_downloaded_too(cache: Path) -> None:
    folder = hub.fetch("org/template", cache_dir=cache, beside=holds_template).parent
    assert read_template(folder) == {"default": "{{ x }}", "rag": "r"}
    assert not (folder / "model.safetensors").exists()
    assert hub.fetch("org/template", cache_dir=cache, beside=holds_template, local_files_only=True).parent == folder


def test_a_folder_of_wanted_files(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = hub.fetch_folder("org/template", lambda name: name.endswith((".json", ".jinja")), cache_dir=cache)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == REPOSITORIES["org/template"].keys() - {"model.safetensors"}
    with pytest.raises(VocabularyError, match="org/none: the repository holds neither"):
        hub.fetch_folder("org/none", lambda name: name.endswith(".json"), cache_dir=cache)
    with pytest.raises(VocabularyError, match="org/unknown: no such repository"):
        hub.fetch_folder("org/unknown", lambda name: True, cache_dir=cache)
    disconnect(monkeypatch)
    assert hub.fetch_folder("org/template", lambda name: True, cache_dir=cache) == folder


def test_the_cache_stands_in_for_a_missing_connection(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = hub.fetch("org/spm", cache_dir=cache)
    disconnect(monkeypatch)
    assert hub.fetch("org/spm", cache_dir=cache) == path
    assert hub.fetch("org/spm", cache_dir=cache, local_files_only=True) == path
    with pytest.raises(VocabularyError, match="org/spm: the download failed"):
        hub.fetch("org/spm", cache_dir=cache, force_download=True)
    with pytest.raises(VocabularyError, match="org/tekken: neither a connection nor a copy"):
        hub.fetch("org/tekken", cache_dir=cache)


@pytest.mark.parametrize(
    ("repo", "options", "reason"),
    [
        ("org/none", {}, "org/none: the repository holds neither tekken.json"),
        ("org/unknown", {}, "org/unknown: no such repository, or a private one"),
        ("org/gated", {}, "org/gated: access to this model"),
        ("org/spm", {"revision": "v9"}, "org/spm@v9: no such revision"),
        ("org/spm", {"local_files_only": True}, "org/spm: neither a connection nor a copy"),
        ("org/broken", {}, "org/broken: neither a connection nor a copy"),
        ("org/broken", {"force_download": True}, "org/broken: the download failed.*503"),
        ("a/b/c", {}, "a/b/c: not the id of a repository"),
        ("", {}, ": not the id of a repository|no such repository"),
    ],
)
def test_errors_name_repository_and_remedy(repo: str, options: dict[str, object], reason: str, cache: Path) -> None:
    with pytest.raises(VocabularyError, match=reason):
        hub.fetch(repo, cache_dir=cache, **options)  # type: ignore[arg-type]


def test_contradiction() -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        hub.fetch("org/spm", force_download=True, local_files_only=True)
