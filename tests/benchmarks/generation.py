"""Speed of `generate` beside Hugging Face transformers': the second table of `python -m tests.benchmarks.model`.

Both continue the same prompts with the same weights in turns, best of several rounds. What a token costs outside of the
model is the time of the whole minus that of the forward passes inside of it, the start included.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any

import torch
import transformers
from mistral_tok.model import generate, generate_steps
from torch import Tensor

CONTEXT = 64
TOKENS = 64
MODES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "drawn": {"do_sample": True, "temperature": 0.7, "top_k": 50},
}
HEADER = """\
                             | tokens per second        | microseconds per token outside the model | first token
 size     dtype  mode  batch |     ours   theirs  ratio |     ours  share of all            theirs |   ms"""


class Outside:
    """The least time of all rounds, and the least of it that was not spent inside of the model."""

    def __init__(self, model: Any, run: Callable[[], object]) -> None:
        self.model, self.run = model, run
        self.seconds = self.outside = float("inf")

    def round(self) -> None:
        """Run once."""
        inside, forward = 0.0, self.model.forward

        def timed(*arguments: Any, **named: Any) -> Any:
            nonlocal inside
            begin = time.perf_counter()
            out = forward(*arguments, **named)
            inside += time.perf_counter() - begin
            return out

        # Transformers looks at the names of the arguments that its model takes.
        timed.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
        self.model.forward = timed
        try:
            start = time.perf_counter()
            self.run()
            seconds = time.perf_counter() - start
        finally:
            del self.model.forward
        self.seconds = min(self.seconds, seconds)
        self.outside = min(self.outside, seconds - inside)


def first_token(model: Any, ids: Tensor) -> float:
    """Seconds until the first new ids are there."""
    start = time.perf_counter()
    next(generate_steps(model, ids, max_new_tokens=TOKENS))
    return time.perf_counter() - start


def measure(name: str, dtype: torch.dtype, ours: Any, theirs: Any, rounds: int) -> None:
    """Print a line for each batch size and mode."""
    transformers.logging.set_verbosity_error()  # it warns of the stop token that never comes
    for batch in (1, 8):
        ids = torch.randint(3, 32000, (batch, CONTEXT))
        first = min(first_token(ours, ids) for _ in range(rounds))
        for mode, options in MODES.items():
            ask: dict[str, Any] = {"attention_mask": torch.ones_like(ids), "max_new_tokens": TOKENS, "eos_token_id": -1}
            ask |= {"pad_token_id": 0, "do_sample": False, **options}
            runs = (
                Outside(ours, lambda: generate(ours, ids, max_new_tokens=TOKENS, stop_token_ids=(), **options)),  # noqa: B023
                Outside(theirs, lambda: theirs.generate(ids, **ask)),  # noqa: B023
            )
            for i in range(rounds):
                for run in runs if i % 2 else reversed(runs):  # a busy machine hits both
                    run.round()
            line(f"{name:>5} {str(dtype)[6:]:>9} {mode:>6} {batch:>5}", *runs, batch, first)


def line(label: str, ours: Outside, theirs: Outside, batch: int, first: float) -> None:
    """Print what was measured."""
    microseconds = [run.outside / TOKENS * 1e6 for run in (ours, theirs)]
    print(
        f"{label} | {batch * TOKENS / ours.seconds:8.1f} {batch * TOKENS / theirs.seconds:8.1f}"
        f" {theirs.seconds / ours.seconds:6.2f} | {microseconds[0]:8.0f} {ours.outside / ours.seconds:13.1%}"
        f" {microseconds[1]:17.0f} | {first * 1e3:6.1f}",
        flush=True,
    )
