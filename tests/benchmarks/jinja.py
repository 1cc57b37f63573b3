"""`ChatTemplate.encode` against transformers with the same template; and what the text route costs beside the encoder.

python -m tests.benchmarks.jinja
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mistral_tok.mistral import MistralTokenizer
from mistral_tok.templates import ChatTemplate, template_for
from mistral_tok.tokenizer import Tokenizer

TEXT = "Could you please tell me how many words there are in this sentence, and why? "
TIMES, RENDER = 5.0, 150.0
"""Targets: encoding against transformers, and microseconds for rendering 20 messages."""

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}},
            "required": ["city"],
        },
    },
}


def conversation(count: int) -> list[dict[str, Any]]:
    """`count` messages, an even number: system, then user and assistant in turn, the last a user's."""
    roles = ["system", *["user", "assistant"] * (count // 2)][:count]
    return [{"role": role, "content": TEXT * (1 if i + 1 == count else 3)} for i, role in enumerate(roles)]


def medians(jobs: dict[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """Name → median of microseconds, the jobs taking turns."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, work in jobs.items():
            start = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) * 1e6 for name, found in taken.items()}


def fast_tokenizer(template: str) -> Any:
    """The fast tokenizer of transformers over the same Tekken vocabulary."""
    from transformers import PreTrainedTokenizerFast
    from transformers.integrations.mistral import MistralConverter

    from mistral_tok.load.bundled import bundled_path

    converter = MistralConverter(str(bundled_path("v3-tekken")))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        converter.converted().save(str(path))
        made = PreTrainedTokenizerFast(tokenizer_file=str(path), bos_token="<s>", eos_token="</s>")
    made.chat_template = template
    return made


def measure(count: int, tools: list[Any] | None, seconds: float) -> tuple[dict[str, float], int, bool]:
    """Medians of all ways, how many ids there are, and whether transformers' are ours."""
    tokenizer = Tokenizer.bundled("v3-tekken")
    encoder = MistralTokenizer(tokenizer)
    source = template_for(tokenizer)
    template, fast = ChatTemplate(source), fast_tokenizer(source)
    messages = conversation(count)
    request = {"messages": messages, "tools": tools}
    ids = encoder.encode_chat_completion(request).tokens
    if template.encode(tokenizer, messages, tools=tools).ids != ids:
        raise SystemExit("The template on board and the encoder disagree.")
    jobs = {
        "transformers": lambda: fast.apply_chat_template(messages, tools=tools, tokenize=True, return_dict=False),
        "encode": lambda: template.encode(tokenizer, messages, tools=tools),
        "render": lambda: template.render(messages, tools=tools),
        "encoder": lambda: encoder.encode_chat_completion(request),
    }
    return medians(jobs, seconds), len(ids), jobs["transformers"]() == ids


def main() -> None:
    """Print the table; the exit status tells whether the targets are reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each row")
    options = parser.parse_args()
    print("| messages | tools | ids | transformers, µs | encode, µs | times | render, µs | chat encoder, µs |")
    print("|---|---|---|---|---|---|---|---|")
    reached = True
    for count in (2, 10, 20, 40):
        for tools in (None, [TOOL] * 4):
            found, ids, same = measure(count, tools, options.seconds)
            times = found["transformers"] / found["encode"]
            reached &= times >= TIMES and (count != 20 or tools is not None or found["render"] < RENDER)
            theirs = f"{found['transformers']:.0f}{'' if same else ' (other ids)'}"
            row = f"| {count} | {len(tools or [])} | {ids} | {theirs} | {found['encode']:.0f} | {times:.1f} |"
            print(f"{row} {found['render']:.0f} | {found['encoder']:.0f} |")
    print(f"{TIMES:g} times transformers everywhere, 20 messages rendered in {RENDER:g} µs: {reached}")
    raise SystemExit(not reached)


if __name__ == "__main__":
    main()
