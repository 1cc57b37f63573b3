"""One thread a test, the trained model in a pipeline, and nothing at all without PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from cli_support import call

torch = pytest.importorskip("torch")

if TYPE_CHECKING:
    from mistral_tok.pipelines import TextGenerationPipeline

__all__ = ["call"]


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    """The same random weights in every run, whatever ran before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tiny() -> TextGenerationPipeline:
    """tiny-mistral in a pipeline with its official vocabulary."""
    from mistral_tok.pipelines import pipeline

    from .places import TINY

    return pipeline(model=TINY, device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny-mistral with tokenizer.json and chat_template.jinja."""
    from .places import write_hugging_face

    return write_hugging_face(tmp_path_factory.mktemp("hf") / "tiny")
