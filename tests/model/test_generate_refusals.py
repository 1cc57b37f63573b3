"""Bad input is an error that names it, before the model runs and before the first step is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from mistral_tok.model import (
    CacheError,
    GenerateError,
    GrowingCache,
    MistralForCausalLM,
    ModelError,
    RollingCache,
    StaticCache,
    generate_steps,
)

from .pairs import random_ids, small


@pytest.fixture
def model() -> Iterator[MistralForCausalLM]:
    """A model that must not run."""
    found = small(sliding_window=6, max_position_embeddings=20)
    runs: list[int] = []
    found.model.embed_tokens.register_forward_hook(lambda module, inputs, output: runs.append(1))
    yield found
    assert runs == []


PROMPTS: dict[str, tuple[Any, Any, str]] = {
    "no tokens": ([[]], None, "empty"),
    "no rows": (torch.zeros(0, 3, dtype=torch.long), None, "empty"),
    "nothing at all": (None, None, "input_ids"),
    "a word": ("abc", None, "input_ids"),
    "one dimension": ([1, 2, 3], None, r"shape \(rows, tokens\)"),
    "three dimensions": ([[[1]]], None, r"shape \(rows, tokens\)"),
    "fractions": ([[1.0, 2.0]], None, "float32"),
    "booleans": ([[True, False]], None, "bool"),
    "rows of different length": ([[1, 2], [3]], None, "equal length"),
    "an id too large": ([[1, 61]], None, "id 61.*ends at 60"),
    "an id too small": ([[1, -1]], None, "id -1"),
    "too long": (torch.ones(1, 21, dtype=torch.long), None, "row 0 has 21 tokens.*20 positions"),
    "too long in row 1": (torch.ones(2, 22, dtype=torch.long), [[0] * 5 + [1] * 17, [0] + [1] * 21], "row 1 has 21"),
    "mask of another length": ([[1, 2]], [[1, 1, 1]], r"\(1, 3\).*\(1, 2\)"),
    "mask of other rows": ([[1, 2]], [[1, 1], [1, 1]], r"\(2, 2\)"),
    "mask of four dimensions": ([[1, 2]], torch.ones(1, 1, 2, 2), r"\(1, 1, 2, 2\)"),
    "mask of no tensor": ([[1, 2]], "11", "attention_mask"),
    "all is padding": ([[1, 2], [0, 0]], [[1, 1], [0, 0]], "row 1.*empty"),
    "padding on the right": ([[1, 2], [1, 0]], [[1, 1], [1, 0]], "row 1; pad on the left"),
    "a hole": ([[1, 2, 3], [1, 2, 3]], [[0, 1, 1], [1, 0, 1]], "zeros between ones in row 1"),
}


@pytest.mark.parametrize(("ids", "mask", "match"), PROMPTS.values(), ids=PROMPTS)
def test_prompts(model: MistralForCausalLM, ids: Any, mask: Any, match: str) -> None:
    with pytest.raises(GenerateError, match=match):
        generate_steps(
            model, ids, mask if mask is None or isinstance(mask, str) else torch.as_tensor(mask), max_new_tokens=3
        )


NAN, INF = float("nan"), float("inf")
OPTIONS: list[tuple[dict[str, Any], str]] = [
    *(({"max_new_tokens": bad}, "max_new_tokens") for bad in (0, -1, 1.5, None, "3", True)),
    *(({"min_new_tokens": bad}, "min_new_tokens") for bad in (-1, 1.5, None)),
    ({"min_new_tokens": 4}, "min_new_tokens is 4, and max_new_tokens 3"),
    *(({"temperature": bad, "do_sample": True}, "temperature") for bad in (0, 0.0, -1, NAN, INF, None, "1", True)),
    *(({"temperature": bad}, "temperature") for bad in (None, "1", NAN)),
    *(({"top_k": bad, "do_sample": True}, "top_k") for bad in (0, -1, 1.5, "1", True)),
    *(({"top_p": bad, "do_sample": True}, "top_p") for bad in (0, 0.0, -0.1, 1.01, NAN, "1")),
    *(({"top_p": bad}, "top_p") for bad in (0.0, 2)),
    *(({"min_p": bad, "do_sample": True}, "min_p") for bad in (-0.1, 1.01, NAN, "0")),
    *(({"repetition_penalty": bad}, "repetition_penalty") for bad in (0, -1.0, INF, None)),
    *(({"frequency_penalty": bad}, "frequency_penalty") for bad in (NAN, INF, None, "1")),
    *(({"presence_penalty": bad}, "presence_penalty") for bad in (NAN, -INF, None, "1")),
    *(({"stop_token_ids": bad}, "stop_token_ids") for bad in (61, -1, [2, 61], "2", [None], [1.5], None)),
    *(({"pad_token_id": bad}, "pad_token_id") for bad in (61, -1, 1.5, "0")),
    *(({"prompt_lookup": bad}, "prompt_lookup") for bad in (-1, 1.5, None)),
    *(({"num_return_sequences": bad, "do_sample": True}, "num_return_sequences") for bad in (0, 1.5, None)),
    ({"num_return_sequences": 2}, "greedy"),
    *(({"seed": bad, "do_sample": True}, "seed") for bad in (1.5, "1", [1, "2"])),
    ({"seed": [1, 2, 3], "do_sample": True}, "3 numbers for 2 sequences"),
    *(({"logits_processors": bad}, "logits_processors") for bad in ([1], 5)),
    *(({"cache": bad}, "cache") for bad in ("dynamic", 5, True, [])),
    *(({name: bad}, name) for name in ("do_sample", "return_logprobs") for bad in ("no", 2)),
    ({"temprature": 1.0}, "temprature is no argument"),
]


@pytest.mark.parametrize(("options", "match"), OPTIONS, ids=[str(options) for options, _ in OPTIONS])
def test_options(model: MistralForCausalLM, options: dict[str, Any], match: str) -> None:
    with pytest.raises(GenerateError, match=match):
        generate_steps(model, [[1, 2, 3], [4, 5, 6]], **{"max_new_tokens": 3, **options})


def test_what_must_be_given(model: MistralForCausalLM) -> None:
    with pytest.raises(GenerateError, match="max_new_tokens is missing"):
        generate_steps(model, [[1]])  # type: ignore[call-arg]


def test_the_limits_themselves_are_accepted(model: MistralForCausalLM) -> None:
    for options in (
        *(
            {"top_p": 1},
            {"top_p": 1.0},
            {"min_p": 0},
            {"min_p": 1.0},
            {"top_k": 1},
            {"top_k": 1000},
            {"temperature": 1e-3},
        ),
        *(
            {"seed": -5},
            {"seed": torch.tensor([4])},
            {"stop_token_ids": {1, 60}},
            {"stop_token_ids": torch.tensor([2])},
        ),
    ):
        generate_steps(model, [[1, 2]], max_new_tokens=3, do_sample=True, **options)  # type: ignore[arg-type]
    generate_steps(model, [[1, 2]], max_new_tokens=3, temperature=0.0, top_k=None, top_p=None, min_p=None)
    generate_steps(model, torch.ones(1, 20, dtype=torch.long), max_new_tokens=1)


def test_caches_that_do_not_fit() -> None:
    model = small(sliding_window=6)
    ids = random_ids(2, 9)
    with pytest.raises(GenerateError, match="need a cache of 13 tokens, and this one holds 12"):
        generate_steps(model, ids, max_new_tokens=5, cache=StaticCache(model.config, 12))
    generate_steps(model, ids, max_new_tokens=5, cache=StaticCache(model.config, 13))
    with pytest.raises(GenerateError, match="slack=3"):
        generate_steps(model, ids, max_new_tokens=5, cache=RollingCache(model.config, 2), prompt_lookup=3)
    cache = GrowingCache(model.config)
    model(random_ids(3, 4), past_key_values=cache)
    with pytest.raises(GenerateError, match="holds 3 rows, input_ids 2"):
        generate_steps(model, ids, max_new_tokens=5, cache=cache)
    rolling = RollingCache(model.config)
    model(ids, past_key_values=rolling)
    with pytest.raises(CacheError, match="slack=1"):
        generate_steps(model, ids, max_new_tokens=5, cache=rolling)
    with pytest.raises(CacheError, match="sliding_window"):
        generate_steps(small(), ids, max_new_tokens=5, cache="rolling")


def test_errors_are_the_packages_own() -> None:
    assert issubclass(GenerateError, ModelError) and issubclass(GenerateError, ValueError)
