"""What only a GPU can show: `python -m tests.model.gpu_check`. Prints one line a check, and exits with 1 if one fails.

Every backend against the eager one in float32, bfloat16 within its rounding, caches, packing, gradients through
FlexAttention, a text so long that a full mask would not fit, and generation against the CPU's.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from mistral_tok.model import (
    GenerateError,
    GrowingCache,
    MistralConfig,
    MistralForCausalLM,
    RollingCache,
    StaticCache,
    generate,
)
from torch import Tensor

SHAPE = {
    "vocab_size": 512,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "initializer_range": 0.06,
}


def build(window: int | None, dtype: torch.dtype = torch.float32) -> MistralForCausalLM:
    """A random model on the GPU."""
    torch.manual_seed(0)
    return MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=window)).to("cuda", dtype).eval()  # type: ignore[arg-type]


def ids(rows: int, length: int) -> Tensor:
    """Random ids on the GPU."""
    return torch.randint(0, 512, (rows, length), device="cuda")


def error(a: Tensor, b: Tensor) -> float:
    """Largest difference."""
    return float((a.float() - b.float()).abs().max().detach())


@torch.no_grad()
def backends() -> float:
    """All backends, with and without a window and padding."""
    worst = 0.0
    for window in (None, 50):
        model, text = build(window), ids(3, 300)
        mask = torch.ones_like(text)
        mask[0, :100], mask[1, 200:] = 0, 0
        model.set_attention("eager")
        plain, masked = model(text).logits, model(text, attention_mask=mask).logits
        for backend in ("sdpa", "flex"):
            model.set_attention(backend)
            worst = max(worst, error(model(text).logits, plain))
            real = mask.bool()
            worst = max(worst, error(model(text, attention_mask=mask).logits[real], masked[real]))
    return worst


@torch.no_grad()
def packing() -> float:
    """Packed documents through FlexAttention against each alone."""
    model = build(40)
    lengths = [130, 7, 200, 63]
    text = ids(1, sum(lengths))
    positions = torch.cat([torch.arange(n) for n in lengths])[None].cuda()
    alone = torch.cat([model(part).logits for part in text.split(lengths, dim=1)], dim=1)
    model.set_attention("flex")
    return error(model(text, position_ids=positions).logits, alone)


def gradients() -> float:
    """Gradients through FlexAttention against eager ones."""
    found = []
    for backend in ("eager", "flex"):
        model, text = build(50), ids(2, 256)
        torch.manual_seed(1)
        text = ids(2, 256)
        model.set_attention(backend)
        model(text, labels=text).loss.backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    return error(*found)


@torch.no_grad()
def caches() -> float:
    """Every cache in chunks against none."""
    model, text = build(50), ids(2, 200)
    expected = model(text, use_cache=False).logits
    worst = 0.0
    for cache in (GrowingCache(model.config), StaticCache(model.config, 200), RollingCache(model.config)):
        parts, at = [], 0
        for size in (90, 1, 1, 60, *[1] * 48):
            parts.append(model(text[:, at : at + size], past_key_values=cache).logits)
            at += size
        worst = max(worst, error(torch.cat(parts, dim=1), expected))
    return worst


@torch.no_grad()
def compiled_decoding() -> float:
    """A compiled step over a static cache, and how long it takes."""
    model, text = build(None), ids(1, 64)
    cache = StaticCache(model.config, 64)
    model(text[:, :32], past_key_values=cache)
    step = torch.compile(model, fullgraph=True)
    parts, started = [], 0.0
    for i in range(32, 64):
        if i == 40:
            torch.cuda.synchronize()
            started = time.perf_counter()
        place = torch.tensor([i], device="cuda")
        parts.append(step(text[:, i : i + 1], past_key_values=cache, cache_position=place).logits)
    torch.cuda.synchronize()
    print(f"    {(time.perf_counter() - started) / 24 * 1e6:.0f} us a token, compiled")
    return error(torch.cat(parts, dim=1), model(text, use_cache=False).logits[:, 32:])


@torch.no_grad()
def bfloat16() -> float:
    """bfloat16 against float32, as a share of the largest logit."""
    text = ids(2, 300)
    exact = build(50)(text).logits
    return max(error(build(50, torch.bfloat16)(text).logits, exact) / float(exact.abs().max()), 0.0)


@torch.no_grad()
def long_window() -> float:
    """131,072 tokens with a window of 1,024: a mask would take 16 GB. The last logits depend on the window alone."""
    model = build(1024, torch.bfloat16)
    text = ids(1, 131_072)
    model.set_attention("flex")
    torch.cuda.reset_peak_memory_stats()
    out = model(text, use_cache=False, logits_to_keep=1).logits
    peak = torch.cuda.max_memory_allocated() / 2**30
    print(f"    {peak:.2f} GiB at most")
    # Three layers reach 3 * 1023 tokens back.
    near = model(text[:, -3200:], use_cache=False, logits_to_keep=1, position_ids=None).logits
    return error(out, near) / float(near.abs().max()) if peak < 8 else float("inf")


def generation() -> float:
    """Greedy and drawn tokens by every cache, with drafts and in a padded batch, are those of the CPU."""
    model, text = build(50), ids(5, 80)
    mask = torch.ones_like(text)
    mask[1, :40], mask[3, :79] = 0, 0
    ways: list[dict[str, Any]] = [{"cache": kind} for kind in ("static", "growing", "rolling", None)]
    modes: list[dict[str, Any]] = [
        {"stop_token_ids": [5, 6, 7], "repetition_penalty": 1.1},
        {"stop_token_ids": list(range(9)), "do_sample": True, "seed": 3, "top_k": 40, "top_p": 0.9, "min_p": 0.01},
    ]
    wrong = 0
    for options in ({}, *modes):
        expected = generate(model.cpu(), text.cpu(), mask.cpu(), max_new_tokens=60, **options)
        model.cuda()
        for way in (*ways, {"prompt_lookup": 4}):
            found = generate(model, text, mask, max_new_tokens=60, return_logprobs=True, **way, **options)
            wrong += found.new_tokens != expected.new_tokens
            wrong += found.sequences.tolist() != expected.sequences.tolist()
    return float(wrong)


def refusals() -> float:
    """Logits that are no numbers are an error on the GPU, too."""
    model = build(None)
    with torch.no_grad():
        model.lm_head.weight[3] = float("nan")
    refused = 0
    for options in ({}, {"do_sample": True}, {"prompt_lookup": 2}):
        try:
            generate(model, ids(2, 5), max_new_tokens=3, **options)  # type: ignore[arg-type]
        except GenerateError:
            refused += 1
    return 3.0 - refused


CHECKS: dict[Callable[[], float], float] = {
    backends: 2e-4,
    packing: 2e-4,
    gradients: 2e-4,
    caches: 2e-4,
    compiled_decoding: 2e-4,
    bfloat16: 5e-2,
    long_window: 5e-2,
    generation: 0.0,
    refusals: 0.0,
}


def main() -> int:
    """Run all checks."""
    if not torch.cuda.is_available():
        print("no GPU")
        return 1
    torch.backends.cuda.matmul.allow_tf32 = False
    failures = 0
    for check, limit in CHECKS.items():
        started = time.perf_counter()
        try:
            found = check()
        except Exception as problem:  # a check that breaks is a failed one; the others still say something
            print(f"FAIL {check.__name__}: {problem!r}"[:2000], flush=True)
            failures += 1
            continue
        verdict = "ok  " if found <= limit else "FAIL"
        failures += found > limit
        print(
            f"{verdict} {check.__name__}: {found:.1e} (limit {limit:.0e}), {time.perf_counter() - started:.1f} s",
            flush=True,
        )
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
