"""The hub for tests: a server on this machine that lists repositories and hands out their files."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

COMMIT = "a" * 40


class Hub(BaseHTTPRequestHandler):
    """The two answers of the hub that a download needs: the listing, and the file."""

    repositories: ClassVar[Mapping[str, Mapping[str, bytes]]] = {}

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
        elif repo not in self.repositories:
            self.answer(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("main", COMMIT):
            self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            names = [{"rfilename": name} for name in self.repositories[repo]]
            body = json.dumps({"id": repo, "sha": COMMIT, "siblings": names}).encode()
            self.answer(200, body, {"Content-Type": "application/json"})

    def file(self, repo: str, revision: str, name: str) -> None:
        body = self.repositories.get(repo, {}).get(name)
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


@contextmanager
def serving(
    repositories: Mapping[str, Mapping[str, bytes]], monkeypatch: pytest.MonkeyPatch, cache: Path
) -> Iterator[None]:
    """The hub's library talks to a stand-in that has these repositories, and keeps what it downloads in `cache`."""
    from huggingface_hub import constants

    Hub.repositories = repositories
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    point_at(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    yield
    server.shutdown()
    server.server_close()
    thread.join()


def point_at(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    from huggingface_hub import constants, hf_api

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(hf_api.api, "endpoint", endpoint)
