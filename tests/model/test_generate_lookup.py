"""Prompt lookup gives what decoding one by one gives, in fewer passes where the text repeats itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mistral_tok.model import MistralForCausalLM, generate, generate_steps
from mistral_tok.model.lookup import Lookup
from torch import Tensor

from .pairs import padded, random_ids, small
from .test_tiny import FOLDER


def passes(
    model: MistralForCausalLM, ids: Any, mask: Tensor | None = None, **options: Any
) -> tuple[list[list[int]], int]:
    """New tokens, and how often the model has run."""
    counted = []
    hook = model.lm_head.register_forward_hook(lambda module, inputs, output: counted.append(1))
    found = generate(model, ids, mask, **options).new_tokens
    hook.remove()
    return found, len(counted)


def cyclic(window: int | None = None, period: int = 5) -> MistralForCausalLM:
    """A model that counts: after token t comes t + 1, and after the last of the period 1 again."""
    model = small(hidden_size=64, sliding_window=window)
    with torch.no_grad():
        for block in model.model.layers:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
        table = torch.eye(61, 64)
        model.model.embed_tokens.weight.copy_(table)
        following = torch.tensor([t % period + 1 for t in range(61)])
        head = torch.zeros(61, 64)
        head[following[1 : period + 1], torch.arange(1, period + 1)] = 1.0
        model.lm_head.weight.copy_(head)
    return model


@pytest.mark.parametrize("kind", ["static", "growing", "rolling", None])
def test_fewer_passes_on_repetitive_text(kind: str | None) -> None:
    model = cyclic(window=8)
    prompt = [[1, 2, 3, 4, 5, 1, 2]]
    plain, one_by_one = passes(model, prompt, max_new_tokens=41, cache=kind)
    assert plain == [[(i + 2) % 5 + 1 for i in range(41)]] and one_by_one == 41
    for drafted in (1, 3, 4, 7):
        found, several = passes(model, prompt, max_new_tokens=41, cache=kind, prompt_lookup=drafted)
        assert found == plain
        assert several == 1 + -(-40 // (drafted + 1))  # the prompt, then as many as fit into a pass


def test_one_pass_is_one_step() -> None:
    steps = list(generate_steps(cyclic(), [[1, 2, 3, 4, 5, 1, 2]], max_new_tokens=9, prompt_lookup=3))
    assert [step.tokens for step in steps] == [[[3]], [[4, 5, 1, 2]], [[3, 4, 5, 1]]]
    assert [step.finished for step in steps] == [[None], [None], ["length"]]


def test_stop_tokens_inside_of_a_draft() -> None:
    model = cyclic()
    for kind in ("static", None):
        found = generate(
            model, [[1, 2, 3, 4, 5, 1, 2]], max_new_tokens=20, prompt_lookup=8, stop_token_ids=5, cache=kind
        )
        assert found.new_tokens == [[3, 4, 5]] and found.finish_reasons == ["stop"]


@pytest.mark.parametrize("kind", ["static", "growing", "rolling", None])
def test_a_batch_takes_hardly_more_passes_than_its_slowest_row(kind: str | None) -> None:
    model = cyclic(window=8)
    ids, mask = padded([9, 9, 9], "left")
    ids[0], ids[1] = torch.tensor([1, 2, 3, 4, 5, 1, 2, 3, 4]), torch.tensor([0, 0, 0, 0, 0, 0, 0, 0, 1])
    mask[1, :8] = 0
    ids[2], mask[2, :2] = torch.tensor([0, 0, 3, 4, 5, 1, 2, 3, 4]), 0
    plain, _ = passes(model, ids, mask, max_new_tokens=30, cache=kind)
    found, several = passes(model, ids, mask, max_new_tokens=30, cache=kind, prompt_lookup=4)
    assert found == plain
    slowest = passes(model, [[1]], max_new_tokens=30, cache=kind, prompt_lookup=4)[1]
    assert slowest < 15 and several <= slowest + 2


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    drafted=st.integers(1, 6),
    window=st.none() | st.integers(2, 9),
    kind=st.sampled_from(["static", "growing", "rolling", None]),
    period=st.integers(1, 4),
    options=st.sampled_from(
        [
            {},
            {"stop_token_ids": [7, 9, 30]},
            {"repetition_penalty": 1.2},
            {"frequency_penalty": 0.1, "stop_token_ids": [7, 9, 30], "min_new_tokens": 4},
            {"do_sample": True, "temperature": 0.2, "seed": 3, "stop_token_ids": [7, 9, 30]},
        ]
    ),
)
@settings(max_examples=60, deadline=None)
def test_always_the_same_result(
    lengths: list[int], drafted: int, window: int | None, kind: str | None, period: int, options: dict[str, Any]
) -> None:
    torch.manual_seed(period)
    model = small(sliding_window=window, vocab_size=31)
    ids, mask = padded(lengths, "left")
    ids = (ids % period + 5) * mask  # few different tokens, so that runs are found
    settings: dict[str, Any] = {"max_new_tokens": 20, "cache": None if window is None and kind == "rolling" else kind}
    expected = generate(model, ids, mask, return_logprobs=True, **settings, **options)
    found = generate(model, ids, mask, return_logprobs=True, prompt_lookup=drafted, **settings, **options)
    assert (found.new_tokens, found.finish_reasons) == (expected.new_tokens, expected.finish_reasons)
    for row, chances in zip(found.logprobs or (), expected.logprobs or (), strict=True):
        torch.testing.assert_close(torch.tensor(row), torch.tensor(chances), rtol=1e-4, atol=1e-4)


def test_tiny_mistral_repeats_in_fewer_passes() -> None:
    model = MistralForCausalLM.from_pretrained(FOLDER)
    ids = random_ids(1, 30, 1000).repeat(1, 4)
    for kind in ("static", "rolling"):
        plain, one_by_one = passes(model, ids, max_new_tokens=60, cache=kind)
        found, several = passes(model, ids, max_new_tokens=60, cache=kind, prompt_lookup=8)
        assert found == plain and several <= one_by_one


def test_the_callers_processor_sees_every_token_once() -> None:
    lengths = []

    def watch(ids: Tensor, logits: Tensor) -> Tensor:
        assert ids.shape[0] == logits.shape[0] == 1
        lengths.append(ids.shape[1])
        return logits

    prompt = [[1, 2, 3, 4, 5, 1, 2]]
    found = generate(cyclic(), prompt, max_new_tokens=20, prompt_lookup=4, logits_processors=[watch])
    assert found.new_tokens == generate(cyclic(), prompt, max_new_tokens=20).new_tokens
    assert lengths == list(range(7, 27))


def slow_draft(ids: list[int], count: int) -> list[int]:
    """What `Lookup.draft` gives, by looking through the whole text."""
    for length in (3, 2):
        for end in range(len(ids) - 1, length - 1, -1):
            if ids[end - length : end] == ids[len(ids) - length :]:
                found = ids[end : end + count]
                return [found[i % len(found)] for i in range(count)]
    return []


@given(st.lists(st.integers(0, 2), max_size=20), st.integers(1, 6))
def test_drafts(ids: list[int], count: int) -> None:
    assert Lookup(ids).draft(count) == slow_draft(ids, count)


def test_where_drafts_come_from() -> None:
    text = Lookup([5, 6, 7, 8, 1, 6, 7, 9, 5, 6, 7])
    assert text.draft(2) == [8, 1]  # three tokens agree there, and only two where 9 follows
    text.append(9)
    assert text.draft(3) == [5, 6, 7]
    assert Lookup([4, 4, 4]).draft(4) == [4, 4, 4, 4]
    assert Lookup([1, 2, 3]).draft(4) == []
