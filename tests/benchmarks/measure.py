"""Run jobs in worker processes and put their answers together."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks import peers, texts

ROOT = Path(__file__).resolve().parents[2]
BOOT = (
    "import sys, runpy; sys.path.append(sys.argv.pop()); "
    "runpy.run_module('tests.benchmarks.worker', run_name='__main__')"
)


RATES = (
    "first", "new", "warm", "warm_segments", "batch_first", "batch_new", "batch", "batch_segments",
    "arrays_first", "arrays_new", "arrays", "arrays_segments", "arrays_each",
    "lists_threads", "arrays_threads", "count", "offsets",
)  # fmt: skip
"""Modes that are measured in seconds for a text and shown as bytes a second."""


@dataclass
class Bench:
    """Settings of a run, the folder with what it made, and the peers that were left out, with the reason."""

    folder: Path
    size: int
    rounds: int
    repeats: int = 3
    corpus: Path | None = None
    paths: dict[str, str] = field(default_factory=dict)
    cpu: int | None = None
    clock: str = "wall"
    left_out: dict[tuple[str, str], str] = field(default_factory=dict)

    def refuse(self, peer: str, why: str) -> None:
        """Leave a peer out."""
        self.left_out.update({(peer, vocab): why for vocab in peers.REFERENCE})

    def run(self, job: dict[str, Any], *, limit: float = 300, cache: str | None = None) -> dict[str, Any] | str:
        """The answer of one worker, or the reason for which there is none. `cache` is off, or one kept for the run."""
        peer, threads = job["peer"], job.get("threads", 1)
        env = os.environ | {
            "RAYON_NUM_THREADS": str(threads),
            "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
        }
        env["PYTHONPATH"] = self.paths.get(peer, "")
        env["MISTRAL_TOK_CACHE"] = "off" if cache == "off" else str(self.folder / "cache")
        # The folder of the tests comes last in the path, so that the installed packages are what is imported.
        command = [sys.executable, "-P", "-c", BOOT, str(ROOT)]
        if threads == 1 and self.cpu is not None and self.cpu >= 0 and shutil.which("taskset"):
            command = ["taskset", "-c", str(self.cpu), *command]
        whole = {"folder": str(self.folder), "clock": self.clock, **job}
        try:
            done = subprocess.run(
                command, input=json.dumps(whole), capture_output=True, text=True, timeout=limit, env=env,
                cwd=self.folder,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"more than {limit:.0f} s"
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            return last[:160]
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return answer

    def texts(self, kind: str) -> list[str]:
        """Paths of the two texts of a kind, written on first use."""
        paths = [self.folder / f"{kind}-{seed}-{self.size}.txt" for seed in (0, 1)]
        for seed, path in enumerate(paths):
            if not path.exists():
                path.write_bytes(texts.text(kind, self.size, seed, self.corpus).encode())
        return [str(p) for p in paths]

    def hard(self, vocab: str) -> str:
        """Most of the longest word of the vocabulary: repeated, it starts a long chain of merges again and again."""
        model = json.loads(peers.tokenizer_json(vocab, self.folder).read_text(encoding="utf-8"))["model"]
        piece: str = max((p for p in model["vocab"] if p.isascii() and p.isalpha()), key=len)
        return piece[:-1]


def speeds(
    bench: Bench, names: Iterable[str], vocab: str, kind: str, length: int | None, threads: int
) -> dict[str, Any]:
    """Peer → mode → median over rounds, the peers taking turns within each round; only peers with the right ids.

    Modes are MB/s of UTF-8; `decode` is million ids a second, `peak_rss` MB.
    """
    job = {"job": "speed", "vocab": vocab, "length": length, "texts": bench.texts(kind), "repeats": bench.repeats}
    truth = bench.run({**job, "peer": peers.REFERENCE[vocab], "threads": 1})
    if isinstance(truth, str):
        raise SystemExit(f"{peers.REFERENCE[vocab]}, the reference, failed: {truth}")
    answers: dict[str, list[dict[str, Any]]] = {}
    for _ in range(bench.rounds):
        for name in names:
            if not peers.reads(name, vocab) or (name, vocab) in bench.left_out:
                continue
            answer = bench.run({**job, "peer": name, "threads": threads})
            if isinstance(answer, str):
                bench.left_out[name, vocab] = answer
                continue
            if answer["hashes"] != truth["hashes"]:
                bench.left_out[name, vocab] = f"other ids than {peers.REFERENCE[vocab]} ({kind})"
                continue
            for call in ("batch", "arrays") if threads == 1 else ():  # each in a process where nothing was met before
                found = bench.run({**job, "job": "shape", "call": call, "peer": name, "threads": 1})
                if isinstance(found, dict) and found.pop("hashes", truth["hashes"][:2]) == truth["hashes"][:2]:
                    answer |= found
                elif name == peers.OURS:
                    raise SystemExit(f"{name}, {call} of {kind}: {found if isinstance(found, str) else 'other ids'}")
            answers.setdefault(name, []).append(answer)
    sizes = [Path(p).stat().st_size / 1e6 for p in job["texts"]]
    return {
        name: _rates(found, sizes, truth["ids"])
        for name, found in answers.items()
        if (name, vocab) not in bench.left_out
    }


def _rates(found: list[dict[str, Any]], sizes: list[float], ids: int) -> dict[str, float]:
    modes = [m for m in found[0] if m not in ("hashes", "ids", "decode_right")]
    middle = {m: statistics.median(f[m] for f in found if m in f) for m in modes}
    for mode in RATES:
        if mode in middle:
            middle[mode] = sizes[not mode.endswith("first")] / middle[mode]
    if "decode" in middle:
        middle["decode"] = ids / 1e6 / middle["decode"]
        if not all(f["decode_right"] for f in found):  # speed at something else is no figure
            del middle["decode"]
    return middle


def command_seconds(commands: dict[str, list[str]], rounds: int, env: dict[str, str]) -> dict[str, float]:
    """Median wall time of whole processes, taking turns."""
    import time

    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, env=os.environ | env)
            if done.returncode == 0:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in taken.items() if found}
