"""Generation, ids to ids: greedy or sampled, in batches, with any cache, all at once or step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import torch
from torch import Tensor

from .arguments import GenerateOptions, Options, limits, read_cache, read_options, read_prompt, read_seeds
from .decoding import Reason, Step, Steps
from .speculation import LookupSteps

if TYPE_CHECKING:
    from .modeling import MistralForCausalLM

__all__ = ["GenerateOptions", "GenerateOutput", "Step", "Steps", "generate", "generate_steps"]


@dataclass
class GenerateOutput:
    """What was generated, a row for every sequence."""

    sequences: Tensor
    """(rows, length) ids: prompt, new tokens, and padding where other rows are longer."""
    new_tokens: list[list[int]]
    """New ids of every row, its stop token included."""
    finish_reasons: list[Reason]
    """Of every row "stop" (a stop token) or "length" (max_new_tokens, or no positions are left)."""
    logprobs: list[list[float]] | None = None
    """Of every new token, under the logits of the model before any processor; None unless asked for."""


def generate(
    model: MistralForCausalLM,
    input_ids: Tensor | Sequence[Sequence[int]],
    attention_mask: Tensor | None = None,
    **options: Unpack[GenerateOptions],
) -> GenerateOutput:
    """Continue every row of ids (rows, length), padded on the left where `attention_mask` (rows, length) is 0.

    `options` are the keywords of `GenerateOptions`, of which `max_new_tokens` must be given. What a row gets does not
    depend on the rows beside it. The model stays in the mode it is in: switch dropout off with `model.eval()`.

    Raises GenerateError (or CacheError) before any work for arguments that cannot be met, and GenerateError during it
    if logits are not finite.

    >>> from mistral_tok.model import MistralConfig, MistralForCausalLM, generate
    >>> config = MistralConfig(vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
    ...     num_attention_heads=2, num_key_value_heads=1)
    >>> generate(MistralForCausalLM(config), [[1, 2, 3]], max_new_tokens=4).sequences.shape
    torch.Size([1, 7])
    """
    return collect(generate_steps(model, input_ids, attention_mask, **options))


def generate_steps(
    model: MistralForCausalLM,
    input_ids: Tensor | Sequence[Sequence[int]],
    attention_mask: Tensor | None = None,
    **options: Unpack[GenerateOptions],
) -> Steps:
    """`generate` step by step: an iterator of `Step`, with `close()` and `finish(row)` to end all or one row early.

    Arguments are checked here, before the first step. Between steps, a Cache given by the caller holds `cache.seen`
    tokens, a prefix of prompt and new tokens, however the iteration ends.
    """
    prompt = read_prompt(input_ids, attention_mask, model.config, model.device)
    chosen = read_options(options, model.config)
    seeds = read_seeds(chosen, len(prompt.ids))
    most = limits(prompt, model.config, chosen)
    cache = read_cache(model.config, prompt, chosen, prompt.columns + max(most) - 1)
    kind = LookupSteps if chosen.prompt_lookup else Steps
    return kind(model, prompt, chosen, most, cache, seeds)


def collect(steps: Steps, watch: Callable[[Step], object] | None = None) -> GenerateOutput:
    """Take all steps, show each to `watch`, and put together what they add."""
    new: list[list[int]] = [[] for _ in steps.finished]
    chances: list[list[float]] = [[] for _ in steps.finished]
    with steps.mode() if watch is None else nullcontext():  # what the caller does is done in the caller's mode
        for step in steps:
            if watch is not None:
                watch(step)
            for row, tokens in enumerate(step.tokens):
                new[row] += tokens
            for row, logprobs in enumerate(step.logprobs or ()):
                chances[row] += logprobs
    reasons = [reason or "stop" for reason in steps.finished]
    sequences = _sequences(steps.prompt.ids, new, steps.options)
    return GenerateOutput(sequences, new, reasons, chances if steps.options.return_logprobs else None)


def _sequences(prompt: Tensor, new: list[list[int]], options: Options) -> Tensor:
    """Prompts (rows, length) and what follows them, filled up to the longest."""
    width = max(len(row) for row in new)
    answers = [row + [options.pad_token_id] * (width - len(row)) for row in new]
    prompts = prompt.repeat_interleave(options.num_return_sequences, 0)
    return torch.cat((prompts, torch.tensor(answers, device=prompt.device)), dim=1)
