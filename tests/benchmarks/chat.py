"""Conversations → ids, side by side with mistral-common: `python -m tests.benchmarks.chat`.

Requests are plain dicts, validated and encoded; every conversation is another one. The two libraries take turns, the
garbage collector stays on, and figures are medians of processor time, so that a busy machine does not distort them.

What was tried, on conversations of 21 messages (microseconds before → after):

- messages as they arrive used as they are, instead of built again as public types: 8 → 5 for reading dicts;
- the wire's request as the request, instead of copying its fields: 1.6 → 1.0 for a request of one message;
- records of the layout as msgspec structs without garbage collection, instead of classes with slots, and a short way
  for messages of one string: 15 → 11 for normalising, 13 → 8 for laying out;
- the result as such a struct: 0.5 less for every request;
- all control ids and texts of a conversation in one call of the core that makes one list, instead of a list for each
  text: 27 → 21 for 21 texts, 0.59 → 0.34 for one;
- records without garbage collection, results that hold fewer lists: 6.4 → 3.9 for a short request that is kept, in a
  process with a large heap; images, report and the public request are made when asked for;
- options that are not keyword-only: 0.1 less for every request;
- the modules of this path compiled by Cython as they are: 2.6 → 2.0 for a short request, 5 % for a long one; not taken,
  for it is seven more modules to compile that nobody could edit in place;
- batches encoded one by one, instead of all texts of 64 conversations together: 350 → 140;
- a tool list's JSON as the key of its table: 14 with `json`; bytes of `marshal` are 3.6 and tell 1 from 1.0 and True.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chat_reference import theirs
from chat_support import ROOT, ours

from mistral_tok.chat.convert import accept
from mistral_tok.chat.mediaids import ALL
from mistral_tok.chat.normalise import normalise
from mistral_tok.chat.validate import validate

VARIANTS = ("v3", "v7", "v3-tekken", "v13")
TARGETS = {"long": 200.0, "long, tools": 200.0, "short": 15.0}
"""Microseconds a conversation should take at most."""


def words() -> list[str]:
    """Words of running English text."""
    folder = ROOT / "fixtures" / "text"
    text = next(iter(sorted(folder.glob("en*")))).read_text(encoding="utf-8")
    return text.split()


class Maker:
    """Makes conversations of running text; no two are the same."""

    def __init__(self, seed: int) -> None:
        self.r, self.words = random.Random(seed), words()

    def text(self, count: int) -> str:
        """`count` words in a row, from anywhere."""
        at = self.r.randrange(len(self.words) - count)
        return " ".join(self.words[at : at + count])

    def tools(self) -> list[dict[str, Any]]:
        """Three tools with two parameters each."""
        names = ("get_weather", "search", "send_mail")
        part = {"type": "string", "description": self.text(8)}
        schema = {"type": "object", "properties": {"a": part, "b": {"type": "integer"}}, "required": ["a"]}
        return [
            {"type": "function", "function": {"name": n, "description": self.text(12), "parameters": schema}}
            for n in names
        ]

    def long(self, tools: list[dict[str, Any]] | None) -> dict[str, Any]:
        """A conversation of 21 messages and about 1,900 ids, with three calls where there are tools."""
        messages = [{"role": "system", "content": self.text(40)}]
        while len(messages) < 20:
            messages.append({"role": "user", "content": self.text(50)})
            if tools and len(messages) in (4, 10, 15) and len(messages) < 18:
                call_id = "".join(self.r.choices("abcdefghijk", k=9))
                arguments = json.dumps({"a": self.text(5), "b": self.r.randrange(1000)})
                call = {"id": call_id, "type": "function", "function": {"name": "search", "arguments": arguments}}
                messages.append({"role": "assistant", "tool_calls": [call]})
                messages.append({"role": "tool", "tool_call_id": call_id, "content": self.text(40)})
            messages.append({"role": "assistant", "content": self.text(90)})
        messages = [*messages[:20], {"role": "user", "content": self.text(20)}]
        if messages[19]["role"] == "user":
            messages[19] = {"role": "assistant", "content": self.text(60)}
        return {"messages": messages, "model": "m", **({"tools": tools} if tools else {})}

    def short(self) -> dict[str, Any]:
        """One user message."""
        return {"messages": [{"role": "user", "content": self.text(9)}], "model": "m"}


def processor(work: Callable[[], object]) -> float:
    """Seconds of processor time that `work` takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def in_turn(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each way, the ways taking turns."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            taken[name].append(processor(work))
    return {name: statistics.median(times) for name, times in taken.items()}


def reference_encoder(variant: str) -> Callable[[dict[str, Any]], list[int]]:
    """mistral-common's way from a dict to ids."""
    from mistral_common.protocol.instruct.request import ChatCompletionRequest

    tokenizer = theirs(variant)

    def encode(request: dict[str, Any]) -> list[int]:
        ids: list[int] = tokenizer.encode_chat_completion(ChatCompletionRequest.from_openai(**request)).tokens
        return ids

    return encode


def kinds(count: int) -> dict[str, list[dict[str, Any]]]:
    """The requests of each kind."""
    make = Maker(1)
    tools = make.tools()
    return {
        "long": [make.long(None) for _ in range(count)],
        "long, tools": [make.long(tools) for _ in range(count)],
        "short": [make.short() for _ in range(10 * count)],
    }


def compare(variant: str, count: int, rounds: int) -> None:
    """Print a row for each kind of request."""
    tokenizer, reference = ours(variant), reference_encoder(variant)
    for kind, requests in kinds(count).items():
        few = requests[:: max(1, len(requests) // count)]
        ids = [tokenizer.encode_chat_completion(r).tokens for r in few]
        if ids != [reference(r) for r in few]:
            raise SystemExit(f"{variant}, {kind}: the ids differ")
        ways: dict[str, Callable[[], object]] = {
            "ours": lambda requests=requests: [tokenizer.encode_chat_completion(r) for r in requests],
            "theirs": lambda few=few: [reference(r) for r in few],
            "checked": lambda requests=requests: [_checked(tokenizer, r) for r in requests],
        }
        times = in_turn(ways, rounds)
        mine, other = times["ours"] / len(requests) * 1e6, times["theirs"] / len(few) * 1e6
        checked = times["checked"] / len(requests) * 1e6
        mark = "" if mine <= TARGETS[kind] and other / mine >= 15 and checked <= mine / 3 else "  misses a target"
        print(
            f"{variant:10} {kind:12} {statistics.mean(map(len, ids)):6.0f} ids {mine:8.1f} µs {other:9.1f} µs "
            f"{other / mine:6.1f}×   validation {checked:6.1f} µs ({checked / mine:4.0%}){mark}",
            flush=True,
        )


def _checked(tokenizer: Any, request: dict[str, Any]) -> None:
    accepted = accept(request)
    validate(accepted, [m.role for m in accepted.messages], tokenizer._engine.row, "test")


def bulk(variant: str, count: int) -> None:
    """Print the time of many conversations with their masks, on one thread and two, as the clock shows it."""
    from mistral_common.protocol.instruct.request import ChatCompletionRequest

    make = Maker(2)
    requests = [make.long(None) for _ in range(count)]
    tokenizer, other = ours(variant), theirs(variant)
    few = requests[: max(1, count // 20)]

    def alone() -> None:
        for request in requests:
            tokenizer.encode_chat_completion(request).assistant_mask  # noqa: B018

    def together() -> None:
        for start in range(0, count, 64):
            for done in tokenizer.encode_batch(requests[start : start + 64], threads=2):
                done.assistant_mask  # noqa: B018

    def theirs_alone() -> None:
        for request in few:
            other.encode_chat_completion(ChatCompletionRequest.from_openai(**request))

    def theirs_together() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda r: other.encode_chat_completion(ChatCompletionRequest.from_openai(**r)), few))

    times = {}
    for name, work in (("one", alone), ("two", together), ("theirs", theirs_alone), ("theirs two", theirs_together)):
        start = time.perf_counter()
        work()
        times[name] = time.perf_counter() - start
    scale = count / len(few)
    print(
        f"{variant:10} {count} conversations with masks: one thread {times['one']:.2f} s, two {times['two']:.2f} s; "
        f"mistral-common (no masks, from {len(few)}): {times['theirs'] * scale:.1f} s, "
        f"{times['theirs two'] * scale:.1f} s; "
        f"{times['theirs'] * scale / times['one']:.0f}× and {times['theirs two'] * scale / times['two']:.0f}×",
        flush=True,
    )


def profile(variant: str, count: int) -> None:
    """Print where the time of a long conversation goes."""
    make = Maker(3)
    requests = [make.long(None) for _ in range(count)]
    tokenizer = ours(variant)
    engine = tokenizer._engine
    accepted = [accept(r) for r in requests]
    roles = [[m.role for m in r.messages] for r in accepted]
    conversations = [normalise(r.messages, t, engine.row) for r, t in zip(accepted, roles, strict=True)]
    plans = [engine._layout.plan(c, ALL) for c in conversations]
    texts = [[i for row in plan.rows for i in row if isinstance(i, str)] for plan in plans]
    core = tokenizer.tokenizer._encoder
    steps: dict[str, Callable[[], object]] = {
        "dicts → types": lambda: [accept(r) for r in requests],
        "validate": lambda: [validate(r, t, engine.row, "test") for r, t in zip(accepted, roles, strict=True)],
        "normalise": lambda: [normalise(r.messages, t, engine.row) for r, t in zip(accepted, roles, strict=True)],
        "lay out": lambda: [engine._layout.plan(c, ALL) for c in conversations],
        "encode plans": lambda: [core.rows(p.rows, 1, []) for p in plans],
        "(texts alone)": lambda: [[core.encode(t) for t in row] for row in texts],
        "everything": lambda: [tokenizer.encode_chat_completion(r) for r in requests],
    }
    times = in_turn(steps, 7)
    print(f"{variant}, one long conversation: " + ", ".join(f"{k} {t / count * 1e6:.1f} µs" for k, t in times.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="conversations of a kind")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bulk", type=int, default=10_000, help="conversations in bulk; 0 for none")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("variant    requests        mean         ours  mistral-common  ratio", flush=True)
    for variant in VARIANTS:
        compare(variant, options.count, options.rounds)
    for variant in VARIANTS:
        profile(variant, options.count)
    if options.bulk:
        for variant in ("v7", "v13"):
            bulk(variant, options.bulk)


if __name__ == "__main__":
    main()
