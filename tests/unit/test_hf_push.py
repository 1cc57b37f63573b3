"""Uploading to the hub: a server on this machine stands in for it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mistral_tok import MistralCommonTokenizer
from mistral_tok.load import bundled_path


class Hub(BaseHTTPRequestHandler):
    """The three answers of the hub that an upload needs: make a repository, how to upload, and the commit."""

    asked: ClassVar[list[tuple[str, Any]]] = []

    def log_message(self, *_: object) -> None:
        """Keep the test output clean."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        lines = [json.loads(line) for line in body.decode().splitlines()]
        self.asked.append((self.path, lines))
        base = f"http://{self.headers['Host']}"
        if self.path == "/api/repos/create":
            self.answer({"url": f"{base}/{lines[0]['organization']}/{lines[0]['name']}"})
        elif "/preupload/" in self.path:
            self.answer(
                {
                    "files": [
                        {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in lines[0]["files"]
                    ]
                }
            )
        else:
            self.answer(
                {"commitUrl": f"{base}/me/new/commit/{'a' * 40}", "commitOid": "a" * 40, "pullRequestUrl": None}
            )

    def answer(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Any]]]:
    """What the stand-in was asked for."""
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    Hub.asked.clear()
    yield Hub.asked
    server.shutdown()
    server.server_close()
    thread.join()


def committed(asked: list[tuple[str, Any]]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The header and the files of the only commit."""
    ((_, lines),) = [entry for entry in asked if "/commit/" in entry[0]]
    files = {
        line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines if line["key"] == "file"
    }
    return lines[0]["value"], files


@pytest.mark.parametrize(("name", "file"), [("v3-tekken", "tekken.json"), ("v3", "tokenizer.model.v3")])
def test_the_vocabulary_is_uploaded(hub: list[tuple[str, Any]], name: str, file: str) -> None:
    tokenizer = MistralCommonTokenizer(bundled_path(name))
    done = tokenizer.push_to_hub("me/new", commit_message="Mine", private=True, token="hf_test")
    assert done.oid == "a" * 40
    assert hub[0][0] == "/api/repos/create"
    header, files = committed(hub)
    assert header["summary"] == "Mine"
    (path,) = files
    assert path.startswith("mistral_instruct") or path == file
    assert files[path] == Path(bundled_path(name)).read_bytes()


def test_saving_uploads_if_asked(hub: list[tuple[str, Any]], tmp_path: Path) -> None:
    tokenizer = MistralCommonTokenizer(bundled_path("v3-tekken"))
    (saved,) = tokenizer.save_pretrained(tmp_path, push_to_hub=True, repo_id="me/new", token="hf_test")
    header, files = committed(hub)
    assert header["summary"] == "Upload tokenizer"
    assert files == {"tekken.json": Path(saved).read_bytes()}
