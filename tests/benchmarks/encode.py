"""`python -m tests.benchmarks.encode`: every figure about speed and memory, beside the peers', in one run.

Needs `pip install ".[bench]"`. Each measurement happens in a process of its own, the tokenizers taking turns within
each round; figures are medians over rounds. A peer whose ids are not those of the reference (sentencepiece for v3,
mistral-common for Tekken) on every document is left out and named. MB are 10⁶ bytes of UTF-8.

All of it takes hours. Any part can be run alone: `--section speed --vocab v3 --texts en,zh --docs 2000 --size 300000
--rounds 1` takes two or three minutes.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks import peers, tables, targets, texts
from tests.benchmarks.measure import Bench, command_seconds, speeds

SECTIONS = ("speed", "threads", "short", "start", "linear", "cli")
START = ("import", "load", "begin", "rss")
COMMON = (
    "from mistral_common.tokens.tokenizers.tekken import Tekkenizer; import sys;"
    "print(*Tekkenizer.from_file({path!r}).encode(sys.argv[1], bos=False, eos=False))"
)


def last_processor() -> int:
    """A processor that this process may use; -1 where the system does not tell."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else -1


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.encode", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, small texts, three kinds")
    parser.add_argument("--only", "--section", help=f"sections, with commas: {','.join(SECTIONS)}")
    parser.add_argument("--peers", help="names, with commas; all by default")
    parser.add_argument("--kinds", "--texts", help=f"kinds of text, with commas; by default {','.join(texts.KINDS)}")
    parser.add_argument("--vocabs", "--vocab", default="v3,v3-tekken", help="v3, v3-tekken or both")
    parser.add_argument(
        "--docs", default="200,2000,20000,whole", help="characters a document, with commas; `whole` for one text"
    )
    parser.add_argument("--size", type=int, help="bytes a text (default 1,000,000)")
    parser.add_argument("--rounds", type=int, help="rounds (default 3)")
    parser.add_argument("--threads", type=int, default=2, help="threads of the section `threads`")
    parser.add_argument("--cpu", type=int, default=last_processor(),
                        help="processor to which measurements on one thread are pinned: some libraries start threads "
                        "of their own; by default the last one that there is; -1 for any")  # fmt: skip
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall",
                        help="`cpu` for processor time, on a busy machine (not for the section `threads`)")  # fmt: skip
    parser.add_argument("--corpus", type=Path, help="folder with real text: en.txt, de.txt …")
    parser.add_argument("--peer-path", action="append", default=[], metavar="NAME=FOLDER",
                        help="where a peer is installed that clashes with another (pip install --target)")  # fmt: skip
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    return parser.parse_args(arguments)


def split(value: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(value.split(",")) if value else default


def say(text: str = "") -> None:
    """Print at once: a run takes minutes, and its output is often piped."""
    print(text, flush=True)


def section_speed(bench: Bench, opts: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    """One thread: first pass, new text and warm, as lists and as arrays; count, offsets, decode."""
    out: dict[str, Any] = {}
    for vocab in split(opts.vocabs, ()):
        for docs in split(opts.docs, ()):
            length = None if docs == "whole" else int(docs)
            found = {k: speeds(bench, names, vocab, k, length, 1) for k in opts.kinds}
            out[f"{vocab}/{docs}"] = found
            shape = "whole texts" if length is None else f"documents of {length:,} characters"
            say(f"\n### {vocab}, {shape}, one thread\n")
            say("First pass / new text after warming on other text / warm: lists, then arrays.\n")
            say(tables.overview(found) + "\n\n" + tables.overview(found, targets.ARRAYS))
            say(f"\n{tables.LEGEND} ({targets.GOALS[vocab]:g}×).\n\n" + tables.ratios(found, targets.GOALS[vocab]))
    return out


def section_threads(bench: Bench, opts: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    """Batches on several threads."""
    out: dict[str, Any] = {}
    for vocab in split(opts.vocabs, ()):
        found = {k: speeds(bench, names, vocab, k, 2000, opts.threads) for k in opts.kinds}
        for modes in (modes for by_peer in found.values() for modes in by_peer.values()):
            del modes["first"], modes["new"]  # measured on one thread, in the section `speed`
        out[vocab] = found
        say(f"\n### {vocab}, documents of 2,000 characters, {opts.threads} threads\n")
        say(tables.scaling(found, opts.threads) + "\n\n" + tables.ratios(found, targets.GOALS[vocab]))
    return out


def section_short(bench: Bench, opts: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    """Texts of 20 characters, each by a call of its own: what a call costs."""
    out: dict[str, dict[str, float]] = {}
    for vocab in split(opts.vocabs, ()):
        for kind in opts.kinds:
            job = {"job": "short", "vocab": vocab, "texts": bench.texts(kind), "length": 20}
            for name in names:
                if peers.reads(name, vocab) and (name, vocab) not in bench.left_out:
                    found = [
                        f for f in (bench.run({**job, "peer": name}) for _ in range(bench.rounds)) if "seconds" in f
                    ]
                    if found:
                        out.setdefault(f"{vocab}/{kind}", {})[name] = median(f["seconds"] for f in found)
    shown = dict.fromkeys(name for by_peer in out.values() for name in by_peer)
    rows = [[name, *(tables.number(1e6 * f[name]) if name in f else "–" for f in out.values())] for name in shown]
    say("\n### Texts of 20 characters, µs each, lists, warm\n")
    say(tables.markdown(["", *out], rows))
    return out


def section_start(bench: Bench, opts: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    """Import, load and memory; ours with and without its table cache."""
    rows, out = [], {}
    for vocab in split(opts.vocabs, ()):
        ways = [(f"{peers.OURS}, no cache", peers.OURS, "off"), *((name, name, None) for name in names)]
        for label, name, cache in ways:
            if name not in names or not peers.reads(name, vocab):
                continue
            job = {"job": "start", "peer": name, "vocab": vocab}
            bench.run(job, cache=cache)  # fills the operating system's cache of files, and ours
            found = [f for f in (bench.run(job, cache=cache) for _ in range(bench.rounds)) if not isinstance(f, str)]
            if found:
                middle = {k: median(f[k] for f in found) for k in START}
                out[f"{vocab}/{label}"] = middle
                rows.append([label, vocab, *(f"{1000 * middle[k]:.1f}" for k in START[:3]), f"{middle['rss']:.0f}"])
    say("\n### Import, load, memory (beyond Python with numpy)\n")
    say(tables.markdown(["", "vocabulary", "import, ms", "load, ms", "first ids, ms", "MB after that"], rows))
    return out


def section_linear(bench: Bench, opts: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    """Adversarial inputs: seconds at each size, and the growth for ten times the input."""
    sizes = (10_000, 100_000, 1_000_000) if opts.quick else (100_000, 1_000_000, 10_000_000)
    out: dict[str, Any] = {}
    for vocab in split(opts.vocabs, ()):
        hard, rows = bench.hard(vocab), []
        for kind in texts.adversarial(10, "ab"):
            job = {"job": "linear", "peer": peers.OURS, "vocab": vocab, "hard": hard, "input": kind}
            found = [bench.run({**job, "sizes": sizes}) for _ in range(bench.rounds)]
            rounds = [f["seconds"] for f in found if not isinstance(f, str)]
            if not rounds:
                rows.append([kind, *["failed"] * len(sizes), *["–"] * (len(sizes) - 1)])
                out[f"{vocab}/{kind}"] = str(found[0])
                continue
            growth = [median(b / a for a, b in steps) for steps in zip(*map(pairwise, rounds), strict=True)]
            rows.append([kind, *(f"{1000 * min(s):.1f}" for s in zip(*rounds, strict=True)),
                         *(f"{times:.1f}×" for times in growth)])  # fmt: skip
            out[f"{vocab}/{kind}"] = growth
        say(f"\n### {vocab}, adversarial inputs, ms (the goal: ten times the input at most 12 times as long)\n")
        head = [f"{size:,} characters" for size in sizes]
        say(tables.markdown(["", *head, "first step", "second step"], rows))
    return out


def section_cli(bench: Bench, opts: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    """A cold shell: whole processes."""
    path = str(peers.official("v3-tekken"))
    script = shutil.which("mistral-tok", path=str(Path(sys.executable).parent))
    commands = {"python -c pass": [sys.executable, "-c", "pass"]}
    if peers.OURS in names:
        commands["import mistral_tok"] = [sys.executable, "-P", "-c", "import mistral_tok"]
        if script:
            commands['mistral-tok encode "Hello, world"'] = [script, "encode", "Hello, world"]
    commands["the same with mistral-common"] = [sys.executable, "-c", COMMON.format(path=path), "Hello, world"]
    taken = command_seconds(commands, 3 if opts.quick else 11, {"MISTRAL_TOK_CACHE": str(bench.folder / "cache")})
    say("\n### Whole processes\n")
    say(tables.markdown(["", "ms"], [[name, f"{1000 * s:.0f}"] for name, s in taken.items()]))
    return taken


def header(opts: argparse.Namespace) -> str:
    """Machine, date, versions."""
    info = Path("/proc/cpuinfo")
    model = (
        next((line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), "")
        if info.exists()
        else ""
    )
    versions = []
    for name in peers.LOADERS:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    where = (
        f"{model or platform.processor()}, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )
    return f"{where}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d}.\n{', '.join(versions)}."


def main(arguments: list[str] | None = None) -> None:
    """Run the sections asked for and print their tables."""
    opts = options(arguments)
    opts.kinds = split(opts.kinds, ("en", "zh", "python") if opts.quick else texts.KINDS)
    names = split(opts.peers, tuple(peers.LOADERS))
    paths = dict(p.split("=", 1) for p in opts.peer_path)
    run: dict[str, Callable[[Bench, argparse.Namespace, tuple[str, ...]], dict[str, Any]]] = {
        "speed": section_speed, "threads": section_threads, "short": section_short, "start": section_start,
        "linear": section_linear, "cli": section_cli,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="mistral-tok-bench-") as folder:
        bench = Bench(
            Path(folder), opts.size or (200_000 if opts.quick else 1_000_000), opts.rounds or (1 if opts.quick else 3),
            corpus=opts.corpus and opts.corpus.resolve(), paths=paths, cpu=opts.cpu, clock=opts.clock,
        )  # fmt: skip
        for vocab in split(opts.vocabs, ()):
            peers.tokenizer_json(vocab, bench.folder)
        if "gigatoken-cachefix" in names and "gigatoken-cachefix" not in paths:
            bench.refuse("gigatoken-cachefix", "shares gigatoken's module; give its folder with --peer-path")
        say(header(opts))
        results = {name: run[name](bench, opts, names) for name in split(opts.only, SECTIONS)}
        if found := targets.check(results):
            rows = [[title, "reached" if reached else "MISSED", worst] for title, reached, worst in found]
            say("\n### Targets\n\n" + tables.markdown(["target", "", "worst case"], rows))
        for (name, vocab), why in bench.left_out.items():
            say(f"\nLeft out: {name} ({vocab}): {why}")
        if opts.json:
            left = {f"{name}/{vocab}": why for (name, vocab), why in bench.left_out.items()}
            opts.json.write_text(
                json.dumps({"about": header(opts), "left_out": left, **results}, indent=1), encoding="utf-8"
            )


if __name__ == "__main__":
    main()
