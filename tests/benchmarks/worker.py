"""The process in which one tokenizer is loaded and measured: a JSON job on standard input, a JSON answer out.

A fresh process for each measurement makes a first pass a first pass, keeps one library's threads and tables away from
another's, and contains crashes.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import statistics
import sys
import zlib
from array import array
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from threading import Thread
from time import perf_counter, process_time
from typing import Any

from tests.benchmarks import peers
from tests.benchmarks.texts import adversarial, documents

Job = dict[str, Any]

ENOUGH = 0.8
"""Seconds after which a measurement is not repeated: noise is a small part of them."""


CLOCKS = {"wall": perf_counter, "cpu": process_time}
chosen = ["wall"]


def rss() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def clock() -> float:
    """Seconds on the clock of this process' job: of the wall, or of the processors that it took."""
    return CLOCKS[chosen[0]]()


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call took, and what it returned."""
    start = clock()
    result = call()
    return clock() - start, result


def median(call: Callable[[], Any], repeats: int) -> float:
    """Median seconds of some calls in turn, of fewer where they are slow; results are dropped outside the time."""
    taken: list[float] = []
    while len(taken) < repeats and sum(taken) < ENOUGH:
        taken.append(timed(call)[0])
    return statistics.median(taken)


def in_turn(calls: list[Callable[[], Any]], repeats: int) -> list[list[float]]:
    """Seconds of calls that take turns, fewer times where they are slow."""
    taken: list[list[float]] = []
    while len(taken) < repeats and sum(map(sum, taken)) < 2 * ENOUGH:
        taken.append([timed(call)[0] for call in calls])
    return taken


def pack(data: bytes, threads: int) -> None:
    """Compress the same bytes in each of some threads at once, as much work for each as for one.

    How much longer that takes says what more processors are worth on this machine at this moment: they may be halves
    of one, or busy. Nothing is shared, and the interpreter lock is released.
    """
    others = [Thread(target=zlib.compress, args=(data, 1)) for _ in range(threads - 1)]
    for other in others:
        other.start()
    zlib.compress(data, 1)
    for other in others:
        other.join()


def fingerprint(rows: Any, shift: int) -> str:
    """Hash of rows of ids, after `shift` is added to each."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(array("q", [len(row), *(int(i) + shift for i in row)]).tobytes())
    return digest.hexdigest()


def load(job: Job) -> tuple[dict[str, float], peers.Peer]:
    """Import and load a tokenizer and make its first ids; the seconds and the memory beyond Python with numpy."""
    import numpy  # noqa: F401  (every peer needs it or returns it: it is not what is measured)

    before = rss()
    module = peers.MODULES.get(job["peer"], job["peer"].replace("-", "_"))
    imported, _ = timed(lambda: import_module(module))
    loaded, peer = timed(lambda: peers.LOADERS[job["peer"]](job["vocab"], Path(job["folder"])))
    begun, _ = timed(lambda: peer.lists(["Hello"]))
    return {"import": imported, "load": loaded, "begin": begun, "rss": rss() - before}, peer


def speed(job: Job) -> dict[str, Any]:
    """Seconds of every mode over two different texts of one kind, and hashes of the ids."""
    figures, peer = load(job)
    old, new = (documents(Path(p).read_text(encoding="utf-8"), job["length"]) for p in job["texts"])
    repeats = job["repeats"]
    shift = peers.ID_SHIFT.get(job["peer"], 0)
    figures["first"], ids = timed(lambda: peer.lists(old))
    hashes = [fingerprint(ids, shift)]
    figures["new"], ids = timed(lambda: peer.lists(new))
    hashes.append(fingerprint(ids, shift))
    if job["threads"] > 1:
        figures.update(_batches(job, peer, new))
        together = peer.lists(new) if peer.lists_threads is None else peer.lists_threads(new, job["threads"])
        return {**figures, "hashes": [*hashes, fingerprint(together, shift)], "ids": sum(map(len, ids))}
    figures["warm"] = median(lambda: peer.lists(new), repeats)
    hashes.append(fingerprint(peer.lists(new), shift))
    if peer.segments is not None:
        peer.segments()
        figures["warm_segments"] = median(lambda: peer.lists(new), repeats)
    for mode in ("arrays_each", "count", "offsets"):
        if (call := getattr(peer, mode)) is not None:
            figures[mode] = median(lambda call=call: call(new), repeats)
    if peer.decode is not None:
        rows = [list(map(int, row)) for row in ids]
        figures["decode_right"] = "".join(peer.decode(rows)) == "".join(new)
        figures["decode"] = median(lambda: peer.decode(rows), repeats)
    figures["peak_rss"] = rss()
    return {**figures, "hashes": hashes, "ids": sum(map(len, ids))}


def shape(job: Job) -> dict[str, Any]:
    """Seconds of a first pass with one kind of call, of new text, and of the same again; nothing where there is none.

    `job["call"]` is `arrays`, or `batch` for lists, whose ids are hashed.
    """
    name = job["call"]
    peer = load(job)[1]
    call = getattr(peer, name)
    if call is None:
        return {}
    old, new = (documents(Path(p).read_text(encoding="utf-8"), job["length"]) for p in job["texts"])
    figures: dict[str, Any] = {}
    for key, texts in ((f"{name}_first", old), (f"{name}_new", new)):
        figures[key], rows = timed(lambda texts=texts: call(texts))
        if name == "batch":
            figures.setdefault("hashes", []).append(fingerprint(rows, peers.ID_SHIFT.get(job["peer"], 0)))
        del rows
    figures[name] = median(lambda: call(new), job["repeats"])
    if peer.segments is not None:
        peer.segments()
        figures[f"{name}_segments"] = median(lambda: call(new), job["repeats"])
    return figures


def short(job: Job) -> dict[str, Any]:
    """Seconds of one text of a few characters: each of many different ones, met before."""
    peer = load(job)[1]
    texts = documents(Path(job["texts"][0]).read_text(encoding="utf-8"), job["length"])[:2000]
    peer.lists(texts)
    return {"seconds": min(median(lambda: peer.lists(texts), 5) for _ in range(3)) / len(texts)}


def _batches(job: Job, peer: peers.Peer, texts: list[str]) -> dict[str, float]:
    """Seconds of batches on several threads, and of the same on one; of encoding, not of recalling whole texts."""
    n, repeats, figures = job["threads"], job["repeats"], {}
    if peer.segments is not None:
        peer.segments()
    if (lists := peer.lists_threads) is not None:
        lists(texts, n)
        one = (lambda: lists(texts, 1)) if job["peer"] in peers.TAKES_THREADS else lambda: peer.lists(texts)
        plain = "".join(texts).encode()[:1_000_000]
        taken = in_turn([one, lambda: lists(texts, n), lambda: pack(plain, 1), lambda: pack(plain, n)], 4 * repeats)
        figures["lists_threads"] = statistics.median(many for _, many, _, _ in taken)
        figures["scaling"] = statistics.median(alone / many for alone, many, _, _ in taken)
        figures["machine"] = statistics.median(n * alone / many for _, _, alone, many in taken)
    if (arrays := peer.arrays_threads) is not None:
        arrays(texts, n)
        figures["arrays_threads"] = median(lambda: arrays(texts, n), repeats)
    return figures


def start(job: Job) -> dict[str, Any]:
    """Import and load only."""
    return load(job)[0]


def touch(size: int) -> None:
    """Use memory and give it back, in large pages and in small ones.

    On a virtual machine whose host takes free memory away, getting it again costs up to 5 ms for each 2 MB: more than
    encoding a hundred times as much, and no matter of how an encoder grows.
    """
    for advice in (mmap.MADV_HUGEPAGE, mmap.MADV_NORMAL) if hasattr(mmap, "MADV_HUGEPAGE") else ():
        with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
            memory.madvise(advice)
            for i in range(0, size, mmap.PAGESIZE):
                memory[i] = 1


def linear(job: Job) -> dict[str, Any]:
    """Seconds for one adversarial input of some sizes, each met for the first time by a tokenizer of its own.

    All sizes in one process, one after the other: the speed of a shared machine changes from minute to minute.
    """
    load(job)
    seconds = []
    for size in (job["sizes"][0], *job["sizes"]):  # the first time for what is slow in a new process
        peer = peers.LOADERS[job["peer"]](job["vocab"], Path(job["folder"]))
        peer.lists(["Hello"])
        text = adversarial(size, job["hard"])[job["input"]]
        touch(64 * size)
        begun = process_time()  # not wall time: another process on the machine must not look like non-linearity
        peer.lists([text])
        seconds.append(process_time() - begun)
    return {"seconds": seconds[1:]}


JOBS = {"speed": speed, "shape": shape, "short": short, "start": start, "linear": linear}


def main() -> None:
    """Run the job of standard input."""
    job = json.load(sys.stdin)
    chosen[0] = job.get("clock", "wall")
    print(json.dumps(JOBS[job["job"]](job)))


if __name__ == "__main__":
    main()
