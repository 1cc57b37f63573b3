"""The hub, without a network: what is asked of huggingface_hub, and what becomes of its answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from mistral_tok.model import MistralForCausalLM, WeightsError

from .files import logits, tiny_config, write_gguf, write_mistral


class Hub:
    """Stands in for the hub: a folder of files, fetched by pattern into a cache."""

    def __init__(self, root: Path) -> None:
        self.remote, self.cache, self.asked = root / "remote", root / "cache", []  # type: ignore[var-annotated]

    def snapshot_download(self, repo: str, *, allow_patterns: list[str], **options: Any) -> str:
        self.asked.append((repo, options))
        self.cache.mkdir(exist_ok=True)
        for pattern in allow_patterns:
            for file in self.remote.glob(pattern):
                shutil.copy(file, self.cache)
        return str(self.cache)

    def hf_hub_download(self, repo: str, name: str, **options: Any) -> str:
        self.asked.append((repo, options))
        return str(self.remote / name)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    fake = Hub(tmp_path)
    fake.remote.mkdir()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake.hf_hub_download)
    return fake


def test_only_one_layout_is_fetched(hub: Hub) -> None:
    model = MistralForCausalLM(tiny_config()).eval()
    write_mistral(model, hub.remote)
    model.save_pretrained(hub.remote, max_shard_size=40_000)
    (hub.remote / "pytorch_model.bin").write_bytes(b"no")
    opened = MistralForCausalLM.from_pretrained("someone/model", revision="v1", local_files_only=True)
    assert torch.equal(logits(opened), logits(model))
    names = {p.name for p in hub.cache.iterdir()}
    assert not any(name.startswith(("consolidated", "pytorch")) for name in names)
    assert all(repo == "someone/model" for repo, _ in hub.asked)
    assert all(o["revision"] == "v1" and o["local_files_only"] is True for _, o in hub.asked)


@pytest.mark.parametrize("with_config", [False, True])
def test_mistral_layout_where_there_is_no_other(hub: Hub, with_config: bool) -> None:
    model = MistralForCausalLM(tiny_config()).eval()
    write_mistral(model, hub.remote)
    if with_config:
        (hub.remote / "config.json").write_text("{}")
    assert torch.equal(logits(MistralForCausalLM.from_pretrained("someone/model")), logits(model))


def test_one_gguf_file_of_a_repository(hub: Hub) -> None:
    model = MistralForCausalLM(tiny_config()).eval()
    write_gguf(model, hub.remote / "m.F32.gguf")
    opened = MistralForCausalLM.from_pretrained("someone/model", gguf_file="m.F32.gguf")
    torch.testing.assert_close(logits(opened), logits(model), rtol=1e-5, atol=1e-5)


def test_names_that_are_neither_path_nor_repository(tmp_path: Path) -> None:
    for place in (tmp_path / "absent", "./absent", "a/b/c", "https://example.org/model", ""):
        with pytest.raises(WeightsError):
            MistralForCausalLM.from_pretrained(place or "a b")


def test_offline_is_honoured(tmp_path: Path) -> None:
    """With HF_HUB_OFFLINE nothing is asked of the network, and the error says which repository is absent."""
    code = (
        "import socket\n"
        "def refuse(*_): raise SystemExit('the network was asked')\n"
        "socket.socket.connect = refuse\n"
        "from mistral_tok.model import MistralForCausalLM, WeightsError\n"
        "try: MistralForCausalLM.from_pretrained('someone/absent')\n"
        "except WeightsError as error: print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "someone/absent" in done.stdout


def test_push(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, Any] = {}

    class Api:
        def __init__(self, token: str | None) -> None:
            sent["token"] = token

        def create_repo(self, repo: str, private: bool | None, exist_ok: bool) -> Any:
            sent.update(private=private, exist_ok=exist_ok)
            return SimpleNamespace(repo_id=f"me/{repo}")

        def upload_folder(self, repo_id: str, folder_path: str, commit_message: str) -> str:
            shutil.copytree(folder_path, tmp_path / "uploaded")
            sent.update(repo_id=repo_id, message=commit_message)
            return "https://hub/commit/1"

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    model = MistralForCausalLM(tiny_config()).eval()
    assert model.push_to_hub("name", private=True, token="t", commit_message="m") == "https://hub/commit/1"
    assert sent == {"token": "t", "private": True, "exist_ok": True, "repo_id": "me/name", "message": "m"}
    assert torch.equal(logits(MistralForCausalLM.from_pretrained(tmp_path / "uploaded")), logits(model))
