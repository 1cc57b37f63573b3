"""Greedy generation gives token for token what Hugging Face transformers gives, whatever the batch and the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mistral_tok.model import (
    Cache,
    GrowingCache,
    MistralForCausalLM,
    RollingCache,
    StaticCache,
    generate,
    generate_steps,
)
from torch import Tensor

from .pairs import caches, padded, pair, random_ids, small
from .test_tiny import FOLDER, turns

transformers = pytest.importorskip("transformers", minversion="4.56")

KINDS = ("static", "growing", "rolling", None)
STOPS = [3, 17, 40]
NEW = 24


def kinds(model: MistralForCausalLM) -> list[str | None]:
    """The caches that a model can have."""
    return [kind for kind in KINDS if kind != "rolling" or model.config.sliding_window is not None]


def theirs_greedy(model: Any, ids: Tensor, mask: Tensor | None = None, **options: Any) -> Tensor:
    """What transformers generates; without a cache, whose windows of one token keep everything."""
    settings = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0, "eos_token_id": STOPS, "use_cache": False}
    return model.generate(ids, attention_mask=torch.ones_like(ids) if mask is None else mask, **settings | options)


@pytest.mark.parametrize("window", [None, 1, 5, 12, 100])
@pytest.mark.parametrize("lengths", [[9], [1], [9, 9, 9], [9, 4, 1, 7]], ids=str)
@pytest.mark.parametrize("stops", [STOPS, []], ids=["stops", "no stops"])
def test_equals_transformers(window: int | None, lengths: list[int], stops: list[int]) -> None:
    ours, theirs = pair(sliding_window=window)
    ids, mask = padded(lengths, "left")
    expected = theirs_greedy(theirs, ids, mask, eos_token_id=stops or [60])
    for kind in kinds(ours):
        found = generate(ours, ids, mask, max_new_tokens=NEW, stop_token_ids=stops or 60, cache=kind)
        assert torch.equal(found.sequences, expected), kind


@pytest.mark.parametrize("backend", ["eager", "sdpa"])
def test_equals_transformers_with_processors(backend: str) -> None:
    ours, theirs = pair(sliding_window=7)
    ours.set_attention(backend)
    ids, mask = padded([8, 3, 6], "left")
    for options in (
        {"repetition_penalty": 1.3},
        {"repetition_penalty": 0.8},
        {"min_new_tokens": 15},
        {"repetition_penalty": 1.7, "min_new_tokens": 9},
    ):
        expected = theirs_greedy(theirs, ids, mask, **options)
        for lookup in (0, 3):
            found = generate(
                ours,
                ids,
                mask,
                max_new_tokens=NEW,
                stop_token_ids=STOPS,
                prompt_lookup=lookup,
                **options,  # type: ignore[arg-type]
            )
            assert torch.equal(found.sequences, expected), options


def alone(model: MistralForCausalLM, ids: Tensor, mask: Tensor, row: int, **options: Any) -> tuple[list[int], str]:
    """New tokens and the reason of one row by itself, without its padding."""
    found = generate(model, ids[row : row + 1, mask[row].bool()], **options)
    return found.new_tokens[0], found.finish_reasons[0]


@pytest.mark.parametrize("window", [None, 6])
@pytest.mark.parametrize("lookup", [0, 4])
def test_a_row_does_not_depend_on_others(window: int | None, lookup: int) -> None:
    model = small(sliding_window=window)
    ids, mask = padded([10, 3, 7, 1, 5, 8], "left")
    options: dict[str, Any] = {"max_new_tokens": 30, "stop_token_ids": STOPS, "prompt_lookup": lookup}
    for kind in kinds(model):
        batch = generate(model, ids, mask, cache=kind, return_logprobs=True, **options)
        assert len({len(tokens) for tokens in batch.new_tokens}) > 2  # rows leave at different times
        for row in range(6):
            assert (batch.new_tokens[row], batch.finish_reasons[row]) == alone(
                model, ids, mask, row, cache=kind, **options
            )
        assert batch.logprobs is not None
        for row, (tokens, chances) in enumerate(zip(batch.new_tokens, batch.logprobs, strict=True)):
            text = torch.cat((ids[row][mask[row].bool()], torch.tensor(tokens)))[None]
            with torch.no_grad():
                expected = model(text).logits[0].log_softmax(-1)[-len(tokens) - 1 : -1]
            expected = expected.gather(1, torch.tensor(tokens)[:, None])[:, 0]
            torch.testing.assert_close(torch.tensor(chances), expected, rtol=1e-4, atol=1e-4)


def test_sequences_are_prompt_tokens_and_padding() -> None:
    model = small()
    ids, mask = padded([4, 2, 4], "left")
    stops = generate(model, ids, mask, max_new_tokens=9).new_tokens[1][3:5]
    found = generate(model, ids, mask, max_new_tokens=9, stop_token_ids=stops, pad_token_id=59)
    longest = max(map(len, found.new_tokens))
    for row, new in enumerate(found.new_tokens):
        assert found.sequences[row].tolist() == ids[row].tolist() + new + [59] * (longest - len(new))
        assert (new[-1] in stops) == (found.finish_reasons[row] == "stop")
        assert not set(new[:-1]) & set(stops)
        assert found.finish_reasons[row] == "stop" or len(new) == 9
    assert {"stop", "length"} == set(found.finish_reasons)
    model(found.sequences, labels=found.sequences).loss.backward()  # they can be learnt from


def test_steps_add_up() -> None:
    model = small()
    ids, mask = padded([4, 2, 4, 7], "left")
    for lookup in (0, 3):
        options: dict[str, Any] = {"max_new_tokens": 20, "stop_token_ids": STOPS, "prompt_lookup": lookup}
        whole = generate(model, ids, mask, **options)
        new: list[list[int]] = [[], [], [], []]
        seen: list[str | None] = [None] * 4
        for step in generate_steps(model, ids, mask, **options):
            assert step.logprobs is None
            for row, tokens in enumerate(step.tokens):
                assert bool(tokens) == (seen[row] is None)
                new[row] += tokens
            seen = step.finished
        assert (new, seen) == (whole.new_tokens, whole.finish_reasons)


def test_ending_one_row_early() -> None:
    model = small()
    ids = random_ids(3, 5)
    whole = generate(model, ids, max_new_tokens=12)
    for lookup in (0, 3):
        steps = generate_steps(model, ids, max_new_tokens=12, prompt_lookup=lookup)
        new: list[list[int]] = [[], [], []]
        for step in steps:
            for row in range(3):
                new[row] += step.tokens[row]
            if len(new[1]) >= 4 and steps.finished[1] is None:
                steps.finish(1)
        assert steps.finished == ["length", "stop", "length"]
        assert (new[0], new[2]) == (whole.new_tokens[0], whole.new_tokens[2])
        assert new[1] == whole.new_tokens[1][: len(new[1])] and 4 <= len(new[1]) < 12


def test_finishing_all_rows_ends_the_steps() -> None:
    steps = generate_steps(small(), random_ids(2, 5), max_new_tokens=12)
    steps.finish(0)
    next(steps)
    steps.finish(1)
    assert list(steps) == []


def test_positions_end_an_answer_unless_the_cache_rolls() -> None:
    model = small(sliding_window=4, max_position_embeddings=10)
    ids, mask = padded([8, 3], "left")
    for kind in ("static", "growing", None):
        found = generate(model, ids, mask, max_new_tokens=50, cache=kind)
        assert [len(new) for new in found.new_tokens] == [3, 8]
        assert found.finish_reasons == ["length", "length"]
    rolling = generate(model, ids, mask, max_new_tokens=50, cache="rolling")
    assert [len(new) for new in rolling.new_tokens] == [50, 50]
    assert rolling.new_tokens[1][:8] == found.new_tokens[1]


def test_only_the_last_position_of_the_prompt_is_scored() -> None:
    model = small()
    widths = []
    model.lm_head.register_forward_hook(lambda module, inputs, output: widths.append(output.shape[:2]))
    generate(model, random_ids(2, 30), max_new_tokens=3)
    assert widths == [(2, 1)] * 3


def test_finished_rows_leave_the_batch() -> None:
    model = small()
    ids = random_ids(8, 6)
    free = generate(model, ids, max_new_tokens=40)
    stops = [row[3 + 4 * i] for i, row in enumerate(free.new_tokens)]  # rows end at different times
    rows = []
    model.lm_head.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    expected = generate(model, ids, max_new_tokens=40, stop_token_ids=stops)
    assert rows[0] == 8 and rows == sorted(rows, reverse=True) and rows[-1] <= 4
    rows.clear()
    seen = []
    found = generate(
        model, ids, max_new_tokens=40, stop_token_ids=stops, logits_processors=[lambda i, x: seen.append(i.shape) or x]
    )
    assert found.new_tokens == expected.new_tokens
    assert set(rows) == {8}  # a processor may remember something about its rows
    assert seen == [(8, 6 + i) for i in range(len(rows))]


def test_the_configuration_says_what_stops() -> None:
    """As transformers has it, unless the caller says otherwise; () is nothing."""
    model = small()
    free = generate(model, [[5, 6, 7]], max_new_tokens=12).new_tokens[0]
    stop = free[4]
    at = free.index(stop) + 1
    for eos in (stop, [60, stop], [stop, -1]):
        model.config.eos_token_id = eos
        assert generate(model, [[5, 6, 7]], max_new_tokens=12).new_tokens == [free[:at]]
        assert generate(model, [[5, 6, 7]], max_new_tokens=12, stop_token_ids=()).new_tokens == [free]


def test_integers_and_lists_are_prompts_too() -> None:
    model = small()
    expected = generate(model, torch.tensor([[5, 6, 7]]), max_new_tokens=5).new_tokens
    assert generate(model, [[5, 6, 7]], max_new_tokens=5).new_tokens == expected
    assert generate(model, torch.tensor([[5, 6, 7]], dtype=torch.int32), max_new_tokens=5).new_tokens == expected
    mask = torch.tensor([[False, True, True, True]])
    assert generate(model, [[0, 5, 6, 7]], mask, max_new_tokens=5).new_tokens == expected


@pytest.mark.parametrize("window", [None, 6])
@pytest.mark.parametrize("lookup", [0, 3])
def test_a_conversation_goes_on_with_its_cache(window: int | None, lookup: int) -> None:
    model = small(sliding_window=window)
    first, more = random_ids(1, 9), random_ids(1, 5)
    found = [*caches(model, 60)[:2], *([RollingCache(model.config, slack=3)] if window else [])]
    for cache in found:
        lengths = []
        hook = model.model.embed_tokens.register_forward_hook(lambda m, i, o, n=lengths: n.append(o.shape[1]))
        options: dict[str, Any] = {"max_new_tokens": 10, "cache": cache, "prompt_lookup": lookup}
        begun = generate(model, first, **options)
        assert cache.seen == 9 + 10 - 1
        longer = torch.cat((begun.sequences, more), dim=1)
        lengths.clear()
        gone_on = generate(model, longer, **options)
        hook.remove()
        assert lengths[0] == 6  # the last token of the answer, and what is new
        assert gone_on.new_tokens == generate(model, longer, max_new_tokens=10).new_tokens
        with torch.no_grad():  # and by hand, out of inference mode
            by_hand = model(gone_on.sequences[:, cache.seen :], past_key_values=cache).logits
            torch.testing.assert_close(by_hand[:, -1], model(gone_on.sequences).logits[:, -1], rtol=1e-5, atol=1e-5)


def test_a_cache_that_holds_the_whole_prompt() -> None:
    model = small(sliding_window=6)
    ids = random_ids(2, 9)
    expected = generate(model, ids, max_new_tokens=6).new_tokens
    with torch.inference_mode():
        for cache in (GrowingCache(model.config), StaticCache(model.config, 30), RollingCache(model.config, slack=8)):
            for longer in (0, 4):
                cache.reset()
                model(torch.cat((ids, random_ids(2, longer)), dim=1), past_key_values=cache)
                with torch.inference_mode(False):
                    assert generate(model, ids, max_new_tokens=6, cache=cache).new_tokens == expected


@pytest.mark.parametrize("lookup", [0, 3])
@pytest.mark.parametrize("window", [None, 6])
def test_a_cache_of_several_rows_keeps_them(window: int | None, lookup: int) -> None:
    """Rows that have finished are padding in the cache, and whoever goes on may mask them."""
    model = small(sliding_window=window)
    ids, mask = padded([6, 3, 5], "left")
    expected = generate(model, ids, mask, max_new_tokens=15, stop_token_ids=STOPS)
    makers: list[Cache] = [GrowingCache(model.config), StaticCache(model.config, 60)]
    for cache in makers + ([RollingCache(model.config, slack=3)] if window else []):
        found = generate(model, ids, mask, max_new_tokens=15, stop_token_ids=STOPS, cache=cache, prompt_lookup=lookup)
        assert found.new_tokens == expected.new_tokens
        lengths = [len(new) for new in found.new_tokens]
        assert len(set(lengths)) > 1 and cache.seen < found.sequences.shape[1]
        real = torch.cat((mask, (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()), dim=1)
        left, more = found.sequences[:, cache.seen :], random_ids(3, 2)
        grown = torch.cat((real, torch.ones(3, 2, dtype=torch.long)), dim=1)
        with torch.no_grad():
            logits = model(torch.cat((left, more), dim=1), attention_mask=grown, past_key_values=cache).logits[:, -1]
            for row in range(3):
                text = torch.cat((ids[row][mask[row].bool()], torch.tensor(found.new_tokens[row]), more[row]))[None]
                torch.testing.assert_close(logits[row], model(text).logits[0, -1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("lookup", [0, 3])
def test_closing_early_leaves_a_prefix_in_the_cache(lookup: int) -> None:
    model = small()
    ids = torch.tensor([[5, 6, 7, 8] * 4])
    whole = generate(model, ids, max_new_tokens=12).sequences
    cache = GrowingCache(model.config)
    steps = generate_steps(model, ids, max_new_tokens=12, cache=cache, prompt_lookup=lookup)
    next(steps)
    made = sum(len(step.tokens[0]) for step in (next(steps), next(steps)))
    steps.close()
    assert list(steps) == []
    assert cache.seen == 16 + made
    with torch.no_grad():
        logits = model(whole[:, cache.seen :], past_key_values=cache).logits[:, -1]
        torch.testing.assert_close(logits, model(whole).logits[:, -1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("passes", [0, 3])
def test_an_interrupt_leaves_a_prefix_in_the_cache(layer: int, passes: int) -> None:
    model = small(sliding_window=6)
    ids = random_ids(1, 9)
    whole = generate(model, ids, max_new_tokens=12).sequences
    for cache in (GrowingCache(model.config), StaticCache(model.config, 30), RollingCache(model.config)):
        steps = generate_steps(model, ids, max_new_tokens=12, cache=cache)
        for _ in range(passes):
            next(steps)

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        handle = model.model.layers[layer].mlp.register_forward_hook(interrupt)
        with pytest.raises(KeyboardInterrupt):
            next(steps)
        handle.remove()
        assert list(steps) == []
        assert cache.seen == (9 + passes - 1 if passes and not isinstance(cache, RollingCache) else 0)
        with torch.no_grad():
            logits = model(whole[:, cache.seen :], past_key_values=cache).logits[:, -1]
            torch.testing.assert_close(logits, model(whole, use_cache=False).logits[:, -1], rtol=1e-5, atol=1e-5)


def test_logits_that_are_no_numbers() -> None:
    from mistral_tok.model import GenerateError

    for bad, options in ((float("nan"), {}), (float("inf"), {}), (float("nan"), {"do_sample": True, "top_p": 0.5})):
        model = small()
        cache = GrowingCache(model.config)
        with torch.no_grad():
            model.lm_head.weight[7] = bad
        for lookup in (0, 3):
            with pytest.raises(GenerateError, match="row 0 are not finite"):
                generate(
                    model, random_ids(2, 4).clamp(min=8), max_new_tokens=3, cache=cache, prompt_lookup=lookup, **options
                )
            assert cache.seen == 0


def test_training_mode_and_gradients_are_left_alone() -> None:
    model = small().train()
    model.gradient_checkpointing_enable()
    expected = generate(model, [[5, 6, 7]], max_new_tokens=8).new_tokens
    assert model.training and torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    steps = generate_steps(model, [[5, 6, 7]], max_new_tokens=8)
    next(steps)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    assert generate(model.eval(), [[5, 6, 7]], max_new_tokens=8).new_tokens == expected


@pytest.mark.parametrize("lookup", [0, 5])
def test_tiny_mistral_says_what_it_learnt(lookup: int) -> None:
    pytest.importorskip("mistral_common")
    model = MistralForCausalLM.from_pretrained(FOLDER)
    learnt = turns()
    width = max(len(prompt) for _, prompt, _ in learnt)
    ids, mask = (torch.zeros(len(learnt), width, dtype=torch.long) for _ in range(2))
    for row, (_, prompt, _) in enumerate(learnt):
        ids[row, width - len(prompt) :], mask[row, width - len(prompt) :] = torch.tensor(prompt), 1
    options: dict[str, Any] = {"max_new_tokens": 80, "stop_token_ids": 2, "prompt_lookup": lookup}
    for kind in ("static", "rolling"):
        batch = generate(model, ids, mask, cache=kind, **options)
        assert batch.new_tokens == [answer for _, _, answer in learnt]
        assert set(batch.finish_reasons) == {"stop"}
        name, prompt, answer = learnt[0]
        assert generate(model, [prompt], cache=kind, **options).new_tokens == [answer], name


def test_tiny_mistral_equals_transformers() -> None:
    ours = MistralForCausalLM.from_pretrained(Path(FOLDER))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(FOLDER).eval()
    ids, mask = padded([60, 20, 47, 48], "left")
    expected = theirs_greedy(theirs, ids, mask, max_new_tokens=120, eos_token_id=2, use_cache=True)
    found = generate(ours, ids, mask, max_new_tokens=120, stop_token_ids=2, pad_token_id=0)
    assert torch.equal(found.sequences, expected)
