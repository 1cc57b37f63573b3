"""`ChatTemplate.encode` against transformers with the same template; and what the text route costs beside the encoder.

python -m tests.benchmarks.jinja
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mistral_tok.mistral import MistralTokenizer
from mistral_tok.templates import ChatTemplate, template_for
from mistral_tok.tokenizer import Tokenizer

TEXT = "Could you please tell me how many words there are in this sentence, and why? "
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
    """`count` messages, the last of them a user's."""
    roles = ["user", "assistant"] * count
    return [{"role": role, "content": TEXT * 3} for role in roles[: count - 1 + count % 2]] + (
        [{"role": "user", "content": TEXT}] if count % 2 == 0 else []
    )


def best(work: Callable[[], Any], seconds: float = 1.0) -> float:
    """The fastest run in microseconds."""
    end, fastest = time.perf_counter() + seconds, float("inf")
    while time.perf_counter() < end:
        start = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest * 1e6


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


def main() -> None:
    """Print the table."""
    tokenizer = Tokenizer.bundled("v3-tekken")
    encoder = MistralTokenizer(tokenizer)
    source = template_for(tokenizer)
    template, fast = ChatTemplate(source), fast_tokenizer(source)
    print("| messages | tools | ids | transformers, µs | encode, µs | times | render, µs | chat encoder, µs |")
    print("|---|---|---|---|---|---|---|---|")
    for count in (2, 10, 20, 40):
        for tools in (None, [TOOL] * 4):
            messages = conversation(count)
            request = {"messages": messages, "tools": tools}
            ids = encoder.encode_chat_completion(request).tokens
            theirs = fast.apply_chat_template(messages, tools=tools, tokenize=True, return_dict=False)
            assert template.encode(tokenizer, messages, tools=tools).ids == ids
            same = "" if theirs == ids else " (other ids)"
            a = best(lambda m=messages, t=tools: fast.apply_chat_template(m, tools=t, tokenize=True))
            b = best(lambda m=messages, t=tools: template.encode(tokenizer, m, tools=t))
            c = best(lambda m=messages, t=tools: template.render(m, tools=t))
            d = best(lambda r=request: encoder.encode_chat_completion(r))
            row = f"| {count} | {len(tools or [])} | {len(ids)} | {a:.0f}{same} | {b:.0f} | {a / b:.1f} |"
            print(f"{row} {c:.0f} | {d:.0f} |")


if __name__ == "__main__":
    main()
