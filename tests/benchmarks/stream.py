"""`python -m tests.benchmarks.stream`: does speed last, and does it survive the way through files?

Three sections. `curve`: one thread encodes text that never comes again, documents of 2,000 characters into arrays; its
speed after a megabyte, ten, a hundred, a thousand, and the memory. `linear`: adversarial texts of up to 100 MB.
`files`: a gigabyte from files to `.npy`, as `mistral-tok encode --files … --out` does it, beside `encode_ragged` over
the same texts in memory, in turns. Needs `pip install ".[bench]"`, and space for the texts and their ids in the folder
for temporary files. MB are 10⁶ bytes of UTF-8.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter, process_time, thread_time
from typing import Any, BinaryIO

from mistral_tok import Tokenizer
from mistral_tok.files import Source, encode_files
from mistral_tok.rows import row_file
from tests.benchmarks import tables, texts
from tests.benchmarks.worker import rss

SECTIONS = ("curve", "linear", "files")
KINDS = ("en", "de", "fr", "ru", "zh", "ja")
MB = 1_000_000
SLICE = 64
"""Megabytes whose texts are in memory at once."""


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.stream", description=__doc__)
    parser.add_argument("--only", help=f"sections, with commas: {','.join(SECTIONS)}")
    parser.add_argument("--vocabs", default="v3,v3-tekken", help="names of bundled vocabularies, with commas")
    parser.add_argument("--size", type=int, default=1000, help="megabytes of text (default 1,000)")
    parser.add_argument("--linear", type=int, default=100, help="megabytes of the longest adversarial text (100)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the section `files` (default 3)")
    parser.add_argument("--threads", default="1,2", help="threads of the section `files`, with commas")
    parser.add_argument("--table-bytes", default="", help="bounds of the tables in the section `curve`, with commas; "
                        "the default, and 64 MB")  # fmt: skip
    return parser.parse_args(arguments)


class Prose:
    """Ever-new text: frequent words again and again, rare ones now and then, and words that no list has."""

    def __init__(self, seed: int) -> None:
        import numpy as np

        self._draw = np.random.default_rng(seed)
        self._plain = random.Random(seed)
        self._words: dict[str, tuple[Any, Any]] = {}
        for kind in KINDS:
            words, sums = texts.frequencies(kind)
            self._words[kind] = np.array(words, object), np.array(sums) / sums[-1]
        self._code = texts.text("python", 8 * MB, 0)

    def text(self, size: int) -> str:
        """About `size` bytes, its kind changing every few thousand characters."""
        parts, done = [], 0
        while done < size:
            kind = self._plain.choice((*KINDS, "python"))
            part = self._python() if kind == "python" else self._sample(kind)
            parts.append(part)
            done += len(part.encode())
        return texts.cut("".join(parts), size)

    def _sample(self, kind: str) -> str:
        words, sums = self._words[kind]
        found = words[sums.searchsorted(self._draw.random(600))].tolist()
        for i in range(7, len(found), 40):  # what no list has: a new word and a new number
            found[i] = "".join(self._plain.choices("abcdefghijklmnopqrstuvwxyz", k=self._plain.randrange(4, 11)))
            found[i - 3] = str(self._plain.randrange(10**6))
        space = "" if kind in texts.UNSPACED else " "
        comma, stop, _ = texts.UNSPACED.get(kind, (", ", ". ", ""))
        lines = (space.join(found[i : i + 12]) + (stop, comma, "\n")[i % 3] for i in range(0, len(found), 12))
        return "".join(lines) + "\n"

    def _python(self) -> str:
        start = self._plain.randrange(len(self._code) - 4000)
        return self._code[start : start + 4000]


def section_curve(opts: argparse.Namespace) -> None:
    """Speed and memory as text goes on."""
    bounds = [int(b) for b in opts.table_bytes.split(",")] if opts.table_bytes else [None, 64 << 20]
    marks = sorted({min(mark, opts.size) for mark in (1, 2, 8, 30, 100, 300, 1000, opts.size)})
    rows = []
    for vocab in opts.vocabs.split(","):
        for bound in bounds:
            found = Tokenizer.bundled(vocab) if bound is None else Tokenizer.bundled(vocab, table_bytes=bound)
            shown = [f"{rate:.0f} ({memory:.0f} MB)" for rate, memory in _curve(found, marks)]
            rows.append([f"{vocab}, tables of {'the default size' if bound is None else f'{bound >> 20} MB'}", *shown])
    print("\n### Ever-new text, MB/s up to there since the column before (and memory added)\n")
    print(tables.markdown(["", *(f"{mark} MB" for mark in marks)], rows), flush=True)


def _curve(found: Tokenizer, marks: list[int]) -> Iterator[tuple[float, float]]:
    """The speed between marks, in megabytes of text that is made piece by piece, and the memory added at each."""
    prose, done = Prose(1), 0
    before = rss()
    for mark in marks:
        taken = size = 0.0
        while done < mark:
            text = prose.text(MB)
            size += len(text.encode())
            documents = texts.documents(text, 2000)
            start = thread_time()  # not wall time: what else the machine does must not look like a slope
            found.encode_ragged(documents, threads=1)
            taken += thread_time() - start
            done += 1
        yield size / MB / taken, rss() - before


def section_linear(opts: argparse.Namespace) -> None:
    """Adversarial texts: processor time at each size, and how it grows."""
    sizes = [size for size in (opts.linear // 100, opts.linear // 10, opts.linear) if size]
    for vocab in opts.vocabs.split(","):
        pieces = map(Tokenizer.bundled(vocab).piece, range(30_000))
        hard = max((piece for piece in pieces if piece.isascii() and piece.isalpha()), key=len)
        rows = []
        for kind in texts.adversarial(10, hard):
            seconds = []
            for size in sizes:
                text = texts.cut(texts.adversarial(size * MB, hard[:-1])[kind], size * MB)
                start = process_time()
                Tokenizer.bundled(vocab).encode_array(text)
                seconds.append(process_time() - start)
            rates = [size / taken for size, taken in zip(sizes, seconds, strict=True)]
            rows.append([kind, *(f"{rate:.0f}" for rate in rates), *(f"{a / b:.2f}×" for a, b in pairwise(rates))])
        print(f"\n### {vocab}, adversarial texts, one array each: MB/s, and the growth of time for each byte\n")
        steps = [f"{a} → {b} MB" for a, b in pairwise(sizes)]
        print(tables.markdown(["", *(f"{size} MB" for size in sizes), *steps], rows), flush=True)


class _Joined:
    """Files one after the other, as if they were one."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = iter(paths)
        self._file: BinaryIO | None = None

    def read(self, size: int) -> bytes:
        while True:
            if self._file is not None and (data := self._file.read(size)):
                return data
            self.__exit__()
            path = next(self._paths, None)
            if path is None:
                return b""
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115 (closed by __exit__)

    def __enter__(self) -> _Joined:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


@dataclass
class Taken:
    """What a way took: seconds, seconds of processors, and the megabytes of memory that it added at most."""

    wall: float = 0.0
    cpu: float = 0.0
    memory: float = 0.0


def _stream(found: Tokenizer, sources: list[Source], out: Path, lines: bool, threads: int) -> Taken:
    """From files to a file."""
    before, most = rss(), [0.0]

    def watch(_: int) -> None:
        most[0] = max(most[0], rss())

    wall, cpu = perf_counter(), process_time()
    with row_file(out) as rows:
        for ids, ends in encode_files(found, sources, lines=lines, threads=threads, progress=watch):
            rows.write(ids, ends)
    return Taken(perf_counter() - wall, process_time() - cpu, most[0] - before)


def _memory(found: Tokenizer, paths: list[Path], lines: bool, threads: int) -> Taken:
    """`encode_ragged` alone, over texts that are there."""
    taken = Taken()
    for at in range(0, len(paths), SLICE):
        held = [path.read_bytes().decode() for path in paths[at : at + SLICE]]
        if lines:
            held = [line for text in held for line in text.split("\n")]
        wall, cpu = perf_counter(), process_time()
        found.encode_ragged(held, threads=threads)
        taken.wall += perf_counter() - wall
        taken.cpu += process_time() - cpu
    return taken


def section_files(opts: argparse.Namespace) -> None:
    """From files to files, in turns with the same in memory."""
    with tempfile.TemporaryDirectory(prefix="mistral-tok-stream-") as folder:
        prose, paths = Prose(2), [Path(folder) / f"{i}.txt" for i in range(opts.size)]
        for path in paths:
            path.write_bytes(prose.text(MB).encode())
        size = sum(path.stat().st_size for path in paths) / MB
        rows = []
        for vocab in opts.vocabs.split(","):
            found = Tokenizer.bundled(vocab)
            for threads in map(int, opts.threads.split(",")):
                for way, (sources, lines) in _ways(paths).items():
                    found.encode_ragged([prose.text(MB)] * 4, threads=threads)  # warm, for both alike
                    pairs = [
                        (_memory(found, paths, lines, threads),
                         _stream(found, sources, Path(folder) / "ids.npy", lines, threads))
                        for _ in range(opts.rounds)
                    ]  # fmt: skip
                    rows.append([f"{vocab}, {way}, {threads} thread{'s' * (threads > 1)}", *_row(pairs, size)])
    print(f"\n### {size:.0f} MB from files to .npy (the goal: 0.9 times the speed in memory)\n")
    head = ["", "in memory, MB/s", "from files, MB/s", "ratio", "ratio of processor time", "MB of memory"]
    print(tables.markdown(head, rows), flush=True)


def _ways(paths: list[Path]) -> dict[str, tuple[list[Source], bool]]:
    """Sources, and whether every line is a document."""
    single = [Source(path.name, partial(_Joined, [path])) for path in paths]  # type: ignore[arg-type]
    joined = [Source("all", partial(_Joined, paths))]  # type: ignore[arg-type]
    return {"files of 1 MB": (single, False), "lines": (single, True), "one file": (joined, False)}


def _row(pairs: list[tuple[Taken, Taken]], size: float) -> list[str]:
    """Medians, and the medians of the ratios of each round."""
    return [
        f"{size / median(a.wall for a, _ in pairs):.0f}",
        f"{size / median(b.wall for _, b in pairs):.0f}",
        f"{median(a.wall / b.wall for a, b in pairs):.2f}",
        f"{median(a.cpu / b.cpu for a, b in pairs):.2f}",
        f"{max(b.memory for _, b in pairs):.0f}",
    ]


def main(arguments: list[str] | None = None) -> None:
    """Run the sections asked for and print their tables."""
    opts = options(arguments)
    run: dict[str, Callable[[argparse.Namespace], None]] = {
        "curve": section_curve, "linear": section_linear, "files": section_files,
    }  # fmt: skip
    for name in opts.only.split(",") if opts.only else SECTIONS:
        run[name](opts)


if __name__ == "__main__":
    main()
