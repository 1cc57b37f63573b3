"""The chat encoder's mask reaches training: the assistant's words are learnt, and nobody else's."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import pytest
import torch
from mistral_tok.model import MistralForCausalLM
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

import mistral_tok
from mistral_tok import MistralTokenizer

from .places import OFFICIAL, TINY, conversations

NEW = [
    ["Which colour does a ripe lemon have?", "A ripe lemon is yellow.", "And a lime tree?", "Its leaves are green."],
    ["Tell me the name of your oldest friend.", "My oldest friend is called Otto."],
    ["How many legs have seven spiders?", "Fifty-six."],
    ["Where do penguins keep their eggs warm?", "On their feet, under a fold of skin."],
]
"""What tiny-mistral does not know."""

LEARNT, GUESSING = 0.3, 5.0
"""Losses a token: below the first a text is known by heart; a guess among 1,000 pieces has the logarithm, 6.9."""


def messages(texts: list[str]) -> list[dict[str, Any]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


class Batch:
    """Conversations as a padded batch: ids, attention mask, the encoder's mask."""

    def __init__(self) -> None:
        tokenizer = MistralTokenizer.from_file(OFFICIAL, "finetuning")
        done = [tokenizer.encode_chat_completion(messages(texts)) for texts in NEW]
        self.ids = pad_sequence([torch.tensor(row.tokens) for row in done], batch_first=True)
        self.attention = pad_sequence([torch.ones(len(row.tokens)).long() for row in done], batch_first=True)
        self.learnt = pad_sequence([torch.tensor(row.assistant_mask) for row in done], batch_first=True).bool()
        self.others = self.attention.bool() & ~self.learnt

    def labels(self, which: Tensor) -> Tensor:
        return self.ids.masked_fill(~which, -100)

    def loss(self, model: MistralForCausalLM, which: Tensor) -> Tensor:
        return model(self.ids, attention_mask=self.attention, labels=self.labels(which)).loss


@pytest.fixture(scope="module")
def batch() -> Batch:
    return Batch()


def trained(batch: Batch, which: Tensor) -> tuple[list[float], list[float]]:
    """Losses of the assistant's and of all other ids, before and after a hundred steps on some of them."""
    model = MistralForCausalLM.from_pretrained(TINY).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def measured() -> list[float]:
        with torch.no_grad():
            return [float(batch.loss(model, part)) for part in (batch.learnt, batch.others)]

    before = measured()
    for _ in range(100):
        optimizer.zero_grad()
        batch.loss(model, which).backward()
        optimizer.step()
    return before, measured()


def test_a_hundred_steps_teach_what_the_assistant_says(batch: Batch) -> None:
    before, after = trained(batch, batch.learnt)
    assert before[0] > GUESSING and after[0] < LEARNT
    assert after[1] > GUESSING


def test_without_the_mask_the_users_words_are_learnt_too(batch: Batch) -> None:
    """So the test above can fail."""
    _, after = trained(batch, batch.attention.bool())
    assert max(after) < LEARNT < GUESSING < math.log(1000)


def test_no_gradient_comes_from_what_the_user_said(batch: Batch) -> None:
    model = MistralForCausalLM.from_pretrained(TINY)
    out = model(batch.ids, attention_mask=batch.attention, labels=batch.labels(batch.learnt))
    (gradient,) = torch.autograd.grad(out.loss, out.logits)
    taught = gradient.abs().sum(-1) > 0  # position i teaches id i + 1
    assert torch.equal(taught[:, :-1], batch.learnt[:, 1:]) and not taught[:, -1].any()
    assert batch.learnt.any() and batch.others.any()


def test_the_mask_of_the_hugging_face_interface_is_the_same(batch: Batch) -> None:
    tokenizer = mistral_tok.MistralCommonTokenizer(OFFICIAL, mode="finetuning")
    for i, texts in enumerate(NEW):
        found = tokenizer.apply_chat_template(messages(texts), return_dict=True, return_assistant_tokens_mask=True)
        length = len(found["input_ids"])
        assert found["input_ids"] == batch.ids[i, :length].tolist()
        assert found["assistant_masks"] == batch.learnt[i, :length].long().tolist()


def test_the_script_that_trained_the_fixture_learns_by_the_mask() -> None:
    spec = importlib.util.spec_from_file_location("train_model", TINY / "train_model.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    ids, mask, labels = script.batch(script.samples())
    tokenizer = MistralTokenizer.from_file(OFFICIAL)
    said = [tokenizer.parse(row[row != -100].tolist()) for row in labels]
    expected = [
        message
        for conversation in conversations().values()
        for message in conversation["messages"]
        if message["role"] == "assistant"
    ]
    assert [found.content or "" for found in said] == [message["content"] for message in expected]
    assert all(found.ended for found in said)
    assert [bool(found.tool_calls) for found in said] == ["tool_calls" in message for message in expected]
    assert torch.equal(ids[labels != -100], labels[labels != -100]) and bool(mask[labels != -100].all())
