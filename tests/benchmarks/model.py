"""Speed of the model on the CPU beside Hugging Face transformers: `python -m tests.benchmarks.model`.

Both hold the same random weights, ours prepacked, and run in turns in one process, two threads, best of several
rounds. Decoding is compared with what the machine's memory gives: a matrix-vector product over as many bytes as one
token reads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from mistral_tok.model import GrowingCache, MistralConfig, MistralForCausalLM
from torch import Tensor

from . import generation

THREADS = 2
PROMPT = 512
CONTEXT = 64
STEPS = 24
SHAPES: dict[str, dict[str, Any]] = {
    "50M": {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 8, "num_attention_heads": 8},
    "200M": {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 14, "num_attention_heads": 16},
}


@dataclass
class Timing:
    """Seconds, the best of all rounds."""

    ours: float = float("inf")
    theirs: float = float("inf")
    rounds: int = 0

    def round(self, ours: Callable[[], float], theirs: Callable[[], float]) -> None:
        """Run both once, one after the other, so that a busy machine hits both; who begins alternates."""
        self.rounds += 1
        if self.rounds % 2:
            self.theirs = min(self.theirs, theirs())
        self.ours = min(self.ours, ours())
        if self.rounds % 2 == 0:
            self.theirs = min(self.theirs, theirs())

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.theirs / self.ours


def pair(shape: dict[str, Any], dtype: torch.dtype) -> tuple[MistralForCausalLM, Any]:
    """Both models with the same weights."""
    settings = {**shape, "vocab_size": 32000, "num_key_value_heads": 4, "sliding_window": None}
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    theirs = transformers.MistralForCausalLM(transformers.MistralConfig(**settings)).eval()
    ours = MistralForCausalLM(MistralConfig(**settings)).eval()
    torch.set_default_dtype(torch.float32)
    ours.load_state_dict(theirs.state_dict())
    return ours.prepack(), theirs


def prefill(model: Any, ids: Tensor) -> float:
    """Seconds for a prompt, logits of its last token."""
    start = time.perf_counter()
    model(ids, use_cache=True, logits_to_keep=1)
    return time.perf_counter() - start


def decode(model: Any, ids: Tensor, cache: Any) -> float:
    """Seconds for a token, greedily, after a prompt."""
    step = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1].argmax(-1)
    best = float("inf")
    for _ in range(STEPS):
        start = time.perf_counter()
        step = model(step[:, None], past_key_values=cache, use_cache=True).logits[:, -1].argmax(-1)
        best = min(best, time.perf_counter() - start)
    return best


def memory_seconds(model: MistralForCausalLM) -> float:
    """Seconds for one matrix-vector product over all weights that a token reads: all but the table of embeddings."""
    table = model.model.embed_tokens.weight
    size = sum(p.numel() * p.element_size() for p in model.parameters()) - table.numel() * table.element_size()
    matrix, vector = torch.ones(size // 4 // 1024, 1024), torch.ones(1024)
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        torch.mv(matrix, vector)
        best = min(best, time.perf_counter() - start)
    return best


def measure(name: str, dtype: torch.dtype, rounds: int) -> None:
    """Print one line for each batch size."""
    ours, theirs = pair(SHAPES[name], dtype)
    for batch in (1, 8):
        ids = torch.randint(0, 32000, (batch, PROMPT))
        start, step = Timing(), Timing()
        memory = float("inf")
        for _ in range(rounds):
            start.round(lambda ids=ids: prefill(ours, ids), lambda ids=ids: prefill(theirs, ids))  # type: ignore[misc]
            text = ids[:, :CONTEXT]
            step.round(
                lambda text=text: decode(ours, text, GrowingCache(ours.config)),  # type: ignore[misc]
                lambda text=text: decode(theirs, text, transformers.DynamicCache()),  # type: ignore[misc]
            )
            memory = min(memory, memory_seconds(ours))
        print(
            f"{name:>5} {str(dtype)[6:]:>9} {batch:>5} |"
            f" {start.ours * 1e3:8.1f} {start.theirs * 1e3:8.1f} {start.ratio:6.2f} |"
            f" {step.ours * 1e3:8.2f} {step.theirs * 1e3:8.2f} {step.ratio:6.2f} | {memory / step.ours:7.0%}",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, the small model only")
    parser.add_argument("--sizes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=3, help="times that each pair is measured")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {THREADS} threads; milliseconds")
    print("                      | prefill of 512 tokens    | one token with a cache    | share of")
    print(" size     dtype batch |     ours   theirs  ratio |     ours   theirs  ratio | memory speed")
    with torch.inference_mode():
        for name in ["50M"] if options.quick else options.sizes:
            for dtype in (torch.float32, torch.bfloat16):
                measure(name, dtype, 1 if options.quick else options.rounds)
    print(f"\n{generation.HEADER}")
    for name in ["50M"] if options.quick else options.sizes:
        for dtype in (torch.float32, torch.bfloat16):
            generation.measure(name, dtype, *pair(SHAPES[name], dtype), 1 if options.quick else options.rounds)


if __name__ == "__main__":
    main()
