"""Processors keep and change what Hugging Face's do, and tokens are drawn as often as their probabilities say."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mistral_tok.model import generate, generate_steps
from mistral_tok.model.arguments import Options
from mistral_tok.model.choosing import Chooser, greedy, lower_bounds, sample, sample_few
from mistral_tok.model.processors import (
    HEAD,
    CountPenalty,
    MinNewTokens,
    MinP,
    Processor,
    RepetitionPenalty,
    Temperature,
    TopK,
    TopP,
)
from mistral_tok.model.sampling import (
    INVALID,
    Draws,
    draw,
    drawn,
    largest,
    logprobs,
    seeds_of,
)
from torch import Tensor

from .pairs import padded, random_ids, small

NOTHING = torch.zeros(1, 1, dtype=torch.long)
LOGITS = st.floats(-12, 12, width=32) | st.sampled_from([0.0, 1.0, -1.0, 3.0])


def theirs(name: str, *values: Any) -> Any:
    """One of transformers' logits processors."""
    pytest.importorskip("transformers", minversion="4.56")
    from transformers.generation import logits_process

    return getattr(logits_process, name)(*values)


def kept(logits: Tensor) -> Tensor:
    """Which tokens can still be drawn."""
    return logits > float("-inf")


@given(st.lists(LOGITS, min_size=1, max_size=30), st.integers(1, 35))
def test_top_k(values: list[float], k: int) -> None:
    logits = torch.tensor([values])
    assert torch.equal(TopK(k)(NOTHING, logits), theirs("TopKLogitsWarper", k)(NOTHING, logits))


@given(st.lists(LOGITS, min_size=1, max_size=30), st.floats(1e-6, 1 - 1e-6) | st.sampled_from([0.25, 0.5, 0.75]))
def test_top_p(values: list[float], p: float) -> None:
    logits = torch.tensor([values])
    assert torch.equal(TopP(p)(NOTHING, logits), theirs("TopPLogitsWarper", p)(NOTHING, logits))


@given(
    seed=st.integers(0, 2**32 - 1),
    sharpness=st.sampled_from([0.1, 1.0, 3.0, 8.0]),
    digits=st.sampled_from([0, 1, 6]),
    top_k=st.none() | st.integers(1, 400),
    p=st.sampled_from([0.1, 0.5, 0.9, 0.95, 0.999]),
)
@settings(max_examples=60, deadline=None)
def test_top_p_in_a_large_vocabulary(seed: int, sharpness: float, digits: int, top_k: int | None, p: float) -> None:
    """Found among the largest logits where they tell, and by sorting where mass is spread or ties are many."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4 * HEAD, generator=generator).mul(sharpness).round(decimals=digits)
    if top_k is not None:
        logits = TopK(top_k)(NOTHING, logits)
    assert torch.equal(kept(TopP(p)(NOTHING, logits)), kept(theirs("TopPLogitsWarper", p)(NOTHING, logits)))


def test_both_ways_to_top_p_are_taken() -> None:
    spread, steep = torch.zeros(1, 4 * HEAD), -torch.arange(4.0 * HEAD)[None]
    assert TopP(0.9)._least(spread) is None
    assert TopP(0.9)._least(steep) is not None
    assert int(kept(TopP(0.9)(NOTHING, steep)).sum()) == 3  # 63 %, 86 %, 95 %


@given(st.lists(LOGITS, min_size=1, max_size=30), st.floats(0, 1, width=32))
def test_min_p(values: list[float], p: float) -> None:
    logits = torch.tensor([values])
    assert torch.equal(MinP(p)(NOTHING, logits), theirs("MinPLogitsWarper", p)(NOTHING, logits))


@given(st.lists(LOGITS, min_size=5, max_size=5), st.lists(st.integers(0, 4), min_size=1, max_size=9), st.floats(0.1, 5))
def test_repetition_penalty(values: list[float], ids: list[int], penalty: float) -> None:
    logits, seen = torch.tensor([values]), torch.tensor([ids])
    expected = theirs("RepetitionPenaltyLogitsProcessor", penalty)(seen, logits)
    assert torch.equal(RepetitionPenalty(penalty)(seen, logits), expected)


def test_repetition_penalty_does_not_count_padding() -> None:
    logits = torch.tensor([[1.0, 2.0, -3.0, 4.0]]).expand(2, -1)
    ids, start = torch.tensor([[0, 0, 2], [1, 3, 3]]), torch.tensor([[2], [0]])
    found = RepetitionPenalty(2.0, start)(ids, logits)
    assert found.tolist() == [[1.0, 2.0, -6.0, 4.0], [1.0, 1.0, -3.0, 2.0]]


def test_count_penalties_are_those_of_the_openai_api() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    ids = torch.tensor([[0, 0, 0, 1, 1, 1, 2]])  # the prompt is 0 0 0
    found = CountPenalty(0.5, 0.25, prompt=3)(ids, logits)
    assert found.tolist() == [[1.0, 2.0 - 3 * 0.5 - 0.25, 3.0 - 0.5 - 0.25, 4.0]]


def test_min_new_tokens() -> None:
    logits, stops = torch.zeros(1, 6), torch.tensor([2, 5])
    processor = MinNewTokens(3, 4, stops)
    for length in range(4, 9):
        ids = torch.zeros(1, length, dtype=torch.long)
        expected = theirs("MinNewTokensLengthLogitsProcessor", 4, 3, stops)(ids, logits)
        assert torch.equal(processor(ids, logits), expected)
        assert bool(kept(processor(ids, logits)).all()) == (length >= 7)


def test_processors_leave_their_input_alone() -> None:
    stops = torch.tensor([1])
    for processor in (
        *(TopK(2), TopP(0.5), MinP(0.5), Temperature(0.5), RepetitionPenalty(2.0), CountPenalty(1.0, 1.0, 0)),
        MinNewTokens(9, 0, stops),
    ):
        logits = torch.randn(1, 8)
        before = logits.clone()
        assert not torch.equal(processor(torch.tensor([[1, 2, 1]]), logits), before)
        assert torch.equal(logits, before)


def test_the_sequence_of_processors_is_that_of_transformers() -> None:
    transformers = pytest.importorskip("transformers", minversion="4.56")
    from .pairs import pair

    def own(ids: Tensor, logits: Tensor) -> Tensor:
        return logits.neg()

    sampling: dict[str, Any] = {"do_sample": True, "temperature": 0.7, "top_k": 9, "top_p": 0.8, "min_p": 0.05}
    options: dict[str, Any] = {**sampling, "repetition_penalty": 1.4, "min_new_tokens": 3}
    _, model = pair()
    config = transformers.GenerationConfig(**options, eos_token_id=5)
    config._eos_token_tensor = torch.tensor([5])
    processors = model._get_logits_processor(config, 4, logits_processor=[own], device="cpu", model_kwargs={})
    ours = Options(max_new_tokens=9, stop_token_ids=frozenset([5]), logits_processors=(own,), **options)
    for columns in (4, 8):
        ids, logits = random_ids(3, columns), torch.randn(3, 61)
        found = logits
        for processor in (*ours.processors(4, None, logits.device), *ours.warpers()):
            found = processor(ids, found)
        torch.testing.assert_close(found, processors(ids, logits))


def chi_square(counts: Tensor, probabilities: Tensor) -> tuple[float, float]:
    """The statistic over the tokens that can be drawn, and the bound that chance exceeds once in 10,000 times."""
    possible = probabilities > 0
    assert int(counts[~possible].sum()) == 0
    expected = probabilities[possible].double() * counts.sum()
    statistic = float(((counts[possible] - expected) ** 2 / expected).sum())
    freedom = int(possible.sum()) - 1
    bound = freedom * (1 - 2 / (9 * freedom) + 3.719 * math.sqrt(2 / (9 * freedom))) ** 3  # Wilson and Hilferty
    return statistic, bound


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.5}, {"temperature": 2.0, "top_k": 7}, {"top_p": 0.6}, {"min_p": 0.2, "temperature": 1.5}],
    ids=str,
)
def test_tokens_are_drawn_as_often_as_they_should_be(options: dict[str, Any]) -> None:
    model = small(vocab_size=31)
    prompt = random_ids(1, 6, 31)
    found = generate(
        model, prompt, max_new_tokens=1, do_sample=True, num_return_sequences=6000, seed=1, **options
    ).sequences[:, -1]
    counts = found.bincount(minlength=31)
    with torch.no_grad():
        raw = model(prompt).logits[:, -1]
    probabilities = raw
    for processor in Options(max_new_tokens=1, do_sample=True, **options).warpers():
        probabilities = processor(prompt, probabilities)
    statistic, bound = chi_square(counts, probabilities.softmax(-1)[0])
    assert statistic < bound
    wrong = (probabilities * 1.3).softmax(-1)[0]
    assert chi_square(counts, wrong)[0] > bound  # it would have noticed another temperature


def test_later_tokens_and_rows_are_independent() -> None:
    logits = torch.randn(2000, 5, generator=torch.Generator().manual_seed(3))[:1].expand(2000, -1)
    draws = Draws(seeds_of(7, 2000), logits.device)
    tokens = torch.tensor([draw(logits, draws(index)) for index in range(70)])  # more than one block of numbers
    pairs_in_time = (tokens[:-1] * 5 + tokens[1:])[::2].flatten().bincount(minlength=25)
    pairs_of_rows = (tokens[:, :-1] * 5 + tokens[:, 1:])[:, ::2].flatten().bincount(minlength=25)
    probabilities = logits[0].softmax(-1)
    joint = (probabilities[:, None] * probabilities).flatten()
    for counts in (pairs_in_time, pairs_of_rows):
        statistic, bound = chi_square(counts, joint)
        assert statistic < bound


def test_rare_tokens_keep_their_share() -> None:
    """Half a million equal tokens: single precision would lose some of them."""
    logits = torch.zeros(1, 1 << 19)
    numbers = (torch.arange(1 << 19, dtype=torch.float64) + 0.5) / (1 << 19)
    for index in (0, 1, 77_777, (1 << 19) - 1):
        assert draw(logits, numbers[index : index + 1].tolist()) == [index]


def test_the_ends_of_the_interval() -> None:
    logits = torch.tensor([[float("-inf"), 0.0, float("-inf"), 0.0, float("-inf")]])
    assert draw(logits, [0.0]) == [1]
    assert draw(logits, [math.nextafter(1.0, 0.0)]) == [3]


def test_no_choice() -> None:
    nan, inf = float("nan"), float("inf")
    logits = torch.tensor([[0.0, nan, 1.0], [-inf, -inf, -inf], [0.0, inf, 1.0], [0.0, -inf, 1.0]])
    assert greedy(logits.numpy()) == [INVALID, INVALID, INVALID, 2]
    assert draw(logits, [0.99] * 4) == [INVALID, INVALID, INVALID, 2]


def test_what_a_gpu_does_is_what_the_cpu_does() -> None:
    nan, inf = float("nan"), float("inf")
    logits = torch.randn(300, 40).round(decimals=1)
    logits[torch.rand(300, 40) < 0.3] = -inf
    logits[0, 5], logits[1, 5], logits[2] = nan, inf, -inf
    assert largest(logits).tolist() == greedy(logits.numpy())
    assert greedy(logits.numpy())[:3] == [INVALID] * 3
    numbers = torch.rand(300, dtype=torch.float64)
    numbers[3], numbers[4] = 0.0, torch.nextafter(torch.ones((), dtype=torch.float64), torch.zeros(()).double())
    for warpers in ([], [Temperature(0.7), TopK(4), MinP(0.2)]):
        found = sample(logits.numpy(), numbers.tolist(), warpers)
        assert drawn(logits, numbers, warpers).tolist() == found
        assert found[:3] == [INVALID] * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_first_of_equals_is_chosen(dtype: torch.dtype) -> None:
    """As PyTorch has it, and in memory that does not remember the choice before."""
    choose = Chooser(torch.device("cpu"))
    for rows in (3, 3, 1, 5):
        logits = torch.randn(rows, 1, 999).mul(2).round().to(dtype)
        logits[0] = -0.0
        logits[0, 0, 3] = 0.0
        listed = choose(logits)
        assert listed == logits[:, 0].float().argmax(-1).tolist() == choose.tokens[:, 0].tolist()
        assert listed[0] == 0 and choose.tokens.shape == (rows, 1)
    logits[1, 0, 7], logits[2, 0, 8] = float("nan"), -float("nan")
    assert choose(logits)[1:3] == [INVALID] * 2


@given(seed=st.integers(0, 2**32 - 1), length=st.integers(1, 3000), digits=st.sampled_from([0, 1, 6]), data=st.data())
def test_bounds_of_what_top_k_keeps(seed: int, length: int, digits: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, max(1, length // 2 - 1)))
    if length < 2 * (k + 1):
        return
    logits = torch.randn(3, length, generator=torch.Generator().manual_seed(seed)).round(decimals=digits)
    bounds = torch.from_numpy(lower_bounds(logits.numpy(), k))
    assert bool((bounds <= logits.topk(k + 1).values[:, -1:]).all())
    assert bool(((logits > bounds).sum(1) <= length // 2).all())


@given(
    seed=st.integers(0, 2**32 - 1),
    digits=st.sampled_from([0, 1, 6]),
    k=st.integers(1, 20),
    others=st.sampled_from([[], [Temperature(0.7)]]),
    after=st.sampled_from([[], [TopP(0.8)], [MinP(0.1)], [TopP(0.9), MinP(0.05)]]),
)
def test_drawing_among_few_is_drawing_among_all(
    seed: int, digits: int, k: int, others: list[Processor], after: list[Processor]
) -> None:
    """Ties at the edge included, where more than `k` are kept."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, 200, generator=generator).mul(3).round(decimals=digits)
    numbers = torch.rand(5, generator=generator, dtype=torch.float64)
    shaped = logits
    for warper in (*others, TopK(k), *after):
        shaped = warper(NOTHING, shaped)
    found = sample(logits.numpy(), numbers.tolist(), [*others, TopK(k), *after])
    assert found == draw(shaped, numbers.tolist())


def test_among_few_or_among_all() -> None:
    k, nan, inf = 3, float("nan"), float("inf")
    steep, even = -torch.arange(100.0)[None].numpy(), torch.zeros(1, 100).numpy()
    assert sample_few(steep, [0.5], 1.0, k, []) == [0]
    assert sample_few(even, [0.5], 1.0, k, []) is None
    assert sample(even, [0.5], [TopK(k)]) == [50]  # all are as likely as the third
    near = torch.arange(1.0, 101.0).mul(2.0**-149)[None].numpy()  # the smallest numbers there are
    assert sample_few(near, [0.5], 1e3, k, []) is None  # equal once they are divided
    for bad in (nan, -nan, inf):
        for place in (0, 7, 99):
            spoilt = steep.copy()
            spoilt[0, place] = bad
            assert sample(spoilt, [0.5], [Temperature(0.1), TopK(k)]) == [INVALID]
    assert sample(steep, [0.5], [Temperature(1e-38), TopK(k)]) == [0]
    for cold in (1e-7, 1e-38, 1e-320):  # divided by it, logits would be beyond all numbers
        for warpers in ([], [TopK(k)], [TopP(0.5)]):
            assert sample(steep + 50, [0.5], [Temperature(cold), *warpers]) == [0]
    assert sample(even, [0.5], [Temperature(1e-38), TopK(k)]) == [50]
    alone = torch.full((1, 100), -inf).index_fill(1, torch.tensor([8]), 1.0).numpy()
    assert sample(alone, [0.5], [TopK(k)]) == [8]


def test_logprobs() -> None:
    logits, tokens = torch.randn(4, 9).bfloat16(), torch.tensor([0, 3, 8, 3])
    expected = logits.float().log_softmax(-1)[torch.arange(4), tokens]
    torch.testing.assert_close(logprobs(logits, tokens), expected)


SAMPLED: dict[str, Any] = {"max_new_tokens": 70, "do_sample": True, "temperature": 1.5, "stop_token_ids": [3, 4, 5]}


def test_a_seed_reproduces() -> None:
    model = small()
    ids = random_ids(3, 5)
    first = generate(model, ids, seed=5, **SAMPLED).new_tokens
    assert generate(model, ids, seed=5, **SAMPLED).new_tokens == first
    assert generate(model, ids, seed=6, **SAMPLED).new_tokens != first
    torch.manual_seed(1)
    unseeded = generate(model, ids, **SAMPLED).new_tokens
    assert generate(model, ids, **SAMPLED).new_tokens != unseeded
    torch.manual_seed(1)
    assert generate(model, ids, **SAMPLED).new_tokens == unseeded


def test_equal_rows_draw_differently() -> None:
    found = generate(small(), [[5, 6, 7]] * 4, seed=5, **SAMPLED).new_tokens
    assert len({tuple(row) for row in found}) == 4


@pytest.mark.parametrize("window", [None, 6])
def test_a_drawn_row_does_not_depend_on_others(window: int | None) -> None:
    model = small(sliding_window=window)
    ids, mask = padded([6, 2, 4, 5], "left")
    options = {**SAMPLED, "repetition_penalty": 1.2, "presence_penalty": 0.3, "top_p": 0.9}
    batch = generate(model, ids, mask, seed=[11, 12, 13, 14], **options)
    assert len({len(tokens) for tokens in batch.new_tokens}) > 2
    for row in range(4):
        single = generate(model, ids[row : row + 1, mask[row].bool()], seed=[11 + row], **options)
        assert single.new_tokens[0] == batch.new_tokens[row]
    for options in ({"cache": None}, {"cache": "growing"}, {"prompt_lookup": 4}):
        other = generate(model, ids, mask, seed=[11, 12, 13, 14], **{**SAMPLED, **options})
        assert other.new_tokens == generate(model, ids, mask, seed=[11, 12, 13, 14], **SAMPLED).new_tokens


def test_several_answers_to_one_prompt() -> None:
    model = small(sliding_window=6)
    ids, mask = padded([9, 3], "left")
    widths = []
    model.model.embed_tokens.register_forward_hook(lambda module, inputs, output: widths.append(output.shape[:2]))
    for kind in ("static", "rolling", "growing", None):
        widths.clear()
        found = generate(model, ids, mask, num_return_sequences=3, seed=4, cache=kind, **SAMPLED)
        assert widths[:2] == [(2, 9), (6, 10 if kind is None else 1)]  # the prompts are run once
        assert found.sequences[:, :9].tolist() == ids.repeat_interleave(3, 0).tolist()
        one_by_one = generate(
            model, ids.repeat_interleave(3, 0), mask.repeat_interleave(3, 0), seed=4, cache=kind, **SAMPLED
        )
        assert found.new_tokens == one_by_one.new_tokens
        assert len({tuple(row) for row in found.new_tokens}) == 6


def test_penalties_do_what_they_say() -> None:
    model = small(vocab_size=12)
    ids = random_ids(1, 4, 12)

    def repeated(**options: Any) -> int:
        new = generate(model, ids, max_new_tokens=11, **options).new_tokens[0]
        return len(new) - len(set(new))

    assert repeated() > 0
    assert repeated(presence_penalty=100.0) == 0
    assert repeated(frequency_penalty=100.0) == 0
    assert repeated(presence_penalty=-100.0) == 10
    twice = generate(model, ids, max_new_tokens=22, frequency_penalty=100.0).new_tokens[0]
    assert sorted(twice[:11]) == sorted(set(twice[:11]))  # everything once before anything twice


def test_the_callers_own_processors() -> None:
    model = small()
    ids, mask = padded([5, 2], "left")
    seen: list[Tensor] = []

    def only_seven(given: Tensor, logits: Tensor) -> Tensor:
        seen.append(given.clone())
        assert logits.dtype == torch.float32
        logits.sub_(logits.new_full((61,), 1e4).index_fill_(0, torch.tensor([7]), 0.0))  # writing into it is allowed
        return logits

    found = generate(model, ids, mask, max_new_tokens=4, logits_processors=[only_seven], return_logprobs=True)
    assert found.new_tokens == [[7] * 4] * 2
    for i, before in enumerate(seen):
        assert torch.equal(before, found.sequences[:, : 5 + i])
    with torch.no_grad():
        expected = model(ids, attention_mask=mask).logits[:, -1].log_softmax(-1)[:, 7]
    assert found.logprobs is not None  # of the model, not of the processor
    torch.testing.assert_close(torch.tensor([row[0] for row in found.logprobs]), expected, rtol=1e-4, atol=1e-5)


def test_a_processor_of_transformers() -> None:
    model = small()
    no_repeat: Processor = theirs("NoRepeatNGramLogitsProcessor", 2)
    new = generate(model, random_ids(1, 3), max_new_tokens=40, logits_processors=[no_repeat]).sequences[0].tolist()
    pairs = list(pairwise(new))
    assert len(set(pairs)) == len(pairs)


def test_a_processor_that_returns_something_else() -> None:
    from mistral_tok.model import GenerateError

    for wrong in (lambda ids, logits: logits[:, :5], lambda ids, logits: None):
        with pytest.raises(GenerateError, match=r"did not return logits of shape \(1, 61\)"):
            next(generate_steps(small(), [[1]], max_new_tokens=2, logits_processors=[wrong]))
