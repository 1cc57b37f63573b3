"""The checkpoint on board says by heart what it has learnt, through every cache and in a padded batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mistral_tok.model import GrowingCache, MistralForCausalLM, RollingCache, StaticCache

pytest.importorskip("mistral_common")

FOLDER = Path(__file__).parents[2] / "fixtures" / "tiny-mistral"


def turns() -> list[tuple[str, list[int], list[int]]]:
    """Name, prompt and answer of every assistant turn, encoded by the reference implementation."""
    from mistral_common.protocol.instruct.request import ChatCompletionRequest
    from mistral_common.protocol.instruct.validator import ValidationMode
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    file = str(FOLDER / "tokenizer.model.v3")
    asking = MistralTokenizer.from_file(file, mode=ValidationMode.test)
    whole = MistralTokenizer.from_file(file, mode=ValidationMode.finetuning)
    found = []
    for conversation in json.loads((FOLDER / "conversations.json").read_text(encoding="utf-8")):
        tools, messages = conversation.get("tools"), conversation["messages"]
        for i, message in enumerate(messages):
            if message["role"] == "assistant":
                before = ChatCompletionRequest(messages=messages[:i], tools=tools)
                after = ChatCompletionRequest(messages=messages[: i + 1], tools=tools)
                prompt = asking.encode_chat_completion(before).tokens
                full = whole.encode_chat_completion(after).tokens
                found.append((f"{conversation['name']}-{i}", prompt, full[len(prompt) :]))
    return found


@pytest.fixture(scope="module")
def model() -> MistralForCausalLM:
    return MistralForCausalLM.from_pretrained(FOLDER)


def test_what_it_exercises(model: MistralForCausalLM) -> None:
    assert model.config.num_key_value_heads < model.config.num_attention_heads
    assert model.config.sliding_window is not None
    assert max(len(prompt) + len(answer) for _, prompt, answer in turns()) > 3 * model.config.sliding_window
    assert sum(p.stat().st_size for p in FOLDER.iterdir() if p.is_file()) <= 5_000_000
    assert any("weather" in name for name, _, _ in turns())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["growing", "static", "rolling"])
@torch.inference_mode()
def test_by_heart(kind: str, dtype: torch.dtype) -> None:
    model = MistralForCausalLM.from_pretrained(FOLDER, dtype=dtype)
    for name, prompt, answer in turns():
        room = len(prompt) + len(answer)
        makers: dict[str, Any] = {
            "growing": lambda: GrowingCache(model.config),
            "static": lambda room=room: StaticCache(model.config, room),
            "rolling": lambda: RollingCache(model.config),
        }
        cache, ids, said = makers[kind](), torch.tensor([prompt]), []
        for _ in answer:
            said.append(int(model(ids, past_key_values=cache, logits_to_keep=1).logits.argmax()))
            ids = torch.tensor([said[-1:]])
        assert said == answer, name


@pytest.mark.parametrize("side", ["left", "right"])
@torch.inference_mode()
def test_by_heart_in_a_padded_batch(model: MistralForCausalLM, side: str) -> None:
    learnt = turns()
    width, length = max(len(p) for _, p, _ in learnt), max(len(a) for _, _, a in learnt)
    ids, mask = torch.zeros(len(learnt), width, dtype=torch.long), torch.zeros(len(learnt), width, dtype=torch.long)
    for row, (_, prompt, _) in enumerate(learnt):
        place = slice(0, len(prompt)) if side == "right" else slice(width - len(prompt), width)
        ids[row, place], mask[row, place] = torch.tensor(prompt), 1
    last = torch.tensor([len(p) - 1 if side == "right" else width - 1 for _, p, _ in learnt])
    cache = RollingCache(model.config)
    logits = model(ids, attention_mask=mask, past_key_values=cache).logits
    step = logits[torch.arange(len(learnt)), last].argmax(-1)
    said = [step]
    for _ in range(length - 1):
        step = model(step[:, None], past_key_values=cache).logits[:, -1].argmax(-1)
        said.append(step)
    for row, (name, _, answer) in enumerate(learnt):
        assert torch.stack(said, dim=1)[row, : len(answer)].tolist() == answer, name
