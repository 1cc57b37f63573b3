"""The Hugging Face interface side by side with transformers': `python -m tests.benchmarks.hf`.

1,000 texts to padded, truncated arrays; 1,000 conversations in one call; 1,000 rows of ids to text. The others are
transformers' MistralCommonBackend and its fast tokenizer, built from the same vocabulary (its chat template writes the
same text for these conversations). All take turns within a round, and figures are medians of wall time.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mistral_tok import MistralCommonTokenizer
from mistral_tok.load import bundled_path

TARGET = 8.0
OURS = "mistral-tok"
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]"
    "{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)


def words() -> list[str]:
    """Words of running text in several languages."""
    folder = Path(__file__).resolve().parents[2] / "fixtures" / "text"
    found = [word for path in sorted(folder.glob("*.txt")) for word in path.read_text(encoding="utf-8").split(" ")]
    return [word for word in found if 0 < len(word) < 40]


def data(count: int) -> tuple[list[str], list[list[dict[str, str]]]]:
    """Texts of 20 to 600 words, and conversations of five messages; the same in every run."""
    rng, known = random.Random(4), words()

    def text(few: int, many: int) -> str:
        at, size = rng.randrange(len(known) - many), rng.randint(few, many)
        return " ".join(known[at : at + size]).strip()

    roles = ("user", "assistant", "user", "assistant", "user")
    chats = [[{"role": role, "content": text(10, 60)} for role in roles] for _ in range(count)]
    return [text(20, 600) for _ in range(count)], chats


def peers(path: str) -> dict[str, Any]:
    """The tokenizers that are measured, ours first."""
    import transformers
    from tokenizers.processors import TemplateProcessing
    from transformers.integrations.mistral import convert_tekken_tokenizer
    from transformers.tokenization_mistral_common import MistralCommonTokenizer as Backend

    transformers.logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    fast: Any = convert_tekken_tokenizer(path)
    fast.chat_template = TEMPLATE
    fast.padding_side, fast.pad_token = "left", "<pad>"
    begin = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", fast.bos_token_id)])
    fast.backend_tokenizer.post_processor = begin
    return {OURS: MistralCommonTokenizer(path), "MistralCommonBackend": Backend(path), "fast tokenizer": fast}


def jobs(texts: list[str], chats: list[list[dict[str, str]]], rows: list[list[int]]) -> dict[str, Callable[[Any], Any]]:
    """What is measured, by name."""
    return {
        "__call__": lambda t: t(texts, padding=True, truncation=True, max_length=512, return_tensors="np")["input_ids"],
        "apply_chat_template": lambda t: t.apply_chat_template(chats, return_dict=False),
        "batch_decode": lambda t: t.batch_decode(rows, skip_special_tokens=True),
    }


def equal(a: Any, b: Any) -> bool:
    """Whether two answers are the same."""
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else list(a) == list(b)


def measure(count: int, rounds: int, vocabulary: str) -> dict[str, dict[str, Any]]:
    """Job → peer → median seconds, with what every peer answers checked against ours."""
    texts, chats = data(count)
    found = peers(str(bundled_path(vocabulary)))
    rows = found[OURS](texts, add_special_tokens=False)["input_ids"]
    results: dict[str, dict[str, Any]] = {}
    for name, job in jobs(texts, chats, rows).items():
        taken: dict[str, list[float]] = {peer: [] for peer in found}
        expected = job(found[OURS])
        same = {peer: equal(job(tokenizer), expected) for peer, tokenizer in found.items()}
        for _ in range(rounds):
            for peer, tokenizer in found.items():
                gc.collect()
                start = time.perf_counter()
                job(tokenizer)
                taken[peer].append(time.perf_counter() - start)
        results[name] = {
            peer: {"seconds": statistics.median(times), "same": same[peer]} for peer, times in taken.items()
        }
    return results


def main() -> None:
    """Measure and print a table; the exit status tells whether the target is reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vocabulary", default="v3-tekken")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    results = measure(options.count, options.rounds, options.vocabulary)
    if options.json:
        print(json.dumps(results, indent=1))
    reached = True
    for name, by_peer in results.items():
        mine = by_peer[OURS]["seconds"]
        best = min(entry["seconds"] for peer, entry in by_peer.items() if peer != OURS)
        reached &= best / mine >= TARGET
        print(f"{name}: {best / mine:.1f} times the fastest of the others (target {TARGET:g})")
        for peer, entry in by_peer.items():
            print(f"    {peer:24}{entry['seconds'] * 1e3:10.1f} ms{'' if entry['same'] else '   (other results)'}")
    raise SystemExit(not reached)


if __name__ == "__main__":
    main()
