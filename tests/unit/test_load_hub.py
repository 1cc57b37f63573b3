"""Files from the hub: a server on this machine stands in for it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mistral_tok.errors import VocabularyError
from mistral_tok.load import hub
from mistral_tok.load.chat_template import holds_template, read_template

COMMIT = "a" * 40
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


class Hub(BaseHTTPRequestHandler):
    """The two answers of the hub that a download needs: the listing, and the file."""

    def log_message(self, *_: object) -> None:
        """Keep the test output clean."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self.listing("/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main")
        else:
            self.file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))

    def listing(self, repo: str, revision: str) -> None:
        if repo == "org/broken":
            self.answer(503, b"")
        elif repo == "org/gated":
            self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
        elif repo not in REPOSITORIES:
            self.answer(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("main", COMMIT):
            self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            names = [{"rfilename": name} for name in REPOSITORIES[repo]]
            body = json.dumps({"id": repo, "sha": COMMIT, "siblings": names}).encode()
            self.answer(200, body, {"Content-Type": "application/json"})

    def file(self, repo: str, revision: str, name: str) -> None:
        body = REPOSITORIES.get(repo, {}).get(name)
        if body is None or revision not in ("main", COMMIT):
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        else:
            self.answer(200, body, {"ETag": f'"{repo}-{name}"'.replace("/", "-"), "X-Repo-Commit": COMMIT})

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty cache folder, with the hub's library talking to the stand-in."""
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    point_at(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield tmp_path / "hub"
    server.shutdown()
    server.server_close()
    thread.join()


def point_at(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    from huggingface_hub import constants, hf_api

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(hf_api.api, "endpoint", endpoint)


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
