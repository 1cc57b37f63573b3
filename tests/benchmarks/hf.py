"""The Hugging Face interface side by side with transformers': `python -m tests.benchmarks.hf`.

1,000 texts to padded, truncated arrays; 1,000 conversations in one call; 1,000 rows of ids to text; each with the
SentencePiece and the Tekken vocabulary of v3. The others are transformers' MistralCommonBackend and its fast tokenizer,
built from the same vocabulary (its chat template writes the same text for these conversations). All take turns within a
round, and figures are medians of wall time.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mistral_tok import MistralCommonTokenizer
from mistral_tok.load import bundled_path
from tests.benchmarks.convert import tokenizer_json

TARGET = 8.0
VOCABULARIES = ("v3", "v3-tekken")
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


def peers(vocabulary: str, folder: Path) -> dict[str, Any]:
    """The tokenizers that are measured, ours first."""
    import transformers
    from tokenizers.processors import TemplateProcessing
    from transformers.tokenization_mistral_common import MistralCommonTokenizer as Backend

    transformers.logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    path = str(bundled_path(vocabulary))
    fast = _fast_tekken(path) if "tekken" in vocabulary else _fast_sentencepiece(vocabulary, folder)
    fast.chat_template = TEMPLATE
    fast.padding_side = "left"
    begin = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", fast.bos_token_id)])
    fast.backend_tokenizer.post_processor = begin
    return {OURS: MistralCommonTokenizer(path), "MistralCommonBackend": Backend(path), "fast tokenizer": fast}


def _fast_tekken(path: str) -> Any:
    from transformers.integrations.mistral import convert_tekken_tokenizer

    made: Any = convert_tekken_tokenizer(path)
    made.pad_token = "<pad>"
    return made


def _fast_sentencepiece(vocabulary: str, folder: Path) -> Any:
    from transformers import PreTrainedTokenizerFast

    file = str(tokenizer_json(vocabulary, folder))
    controls = ["[INST]", "[/INST]"]
    return PreTrainedTokenizerFast(
        tokenizer_file=file, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<unk>",
        additional_special_tokens=controls, clean_up_tokenization_spaces=False,
    )  # fmt: skip


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


def measure(count: int, rounds: int, vocabulary: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Job → peer → median seconds, with what every peer answers checked against ours."""
    texts, chats = data(count)
    found = peers(vocabulary, folder)
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


def table(vocabulary: str, results: dict[str, dict[str, Any]]) -> bool:
    """Print what was measured; whether the target is reached everywhere."""
    reached = True
    for name, by_peer in results.items():
        mine = by_peer[OURS]["seconds"]
        best = min(entry["seconds"] for peer, entry in by_peer.items() if peer != OURS)
        reached &= best / mine >= TARGET
        print(f"{vocabulary}, {name}: {best / mine:.1f} times the fastest of the others (target {TARGET:g})")
        for peer, entry in by_peer.items():
            print(f"    {peer:24}{entry['seconds'] * 1e3:10.1f} ms{'' if entry['same'] else '   (other results)'}")
    return reached


def main() -> None:
    """Measure and print tables; the exit status tells whether the target is reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vocabulary", choices=VOCABULARIES, action="append")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        results = {
            name: measure(options.count, options.rounds, name, Path(folder))
            for name in options.vocabulary or VOCABULARIES
        }
    if options.json:
        print(json.dumps(results, indent=1))
    reached = [table(name, found) for name, found in results.items()]
    raise SystemExit(not all(reached))


if __name__ == "__main__":
    main()
