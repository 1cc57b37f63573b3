"""`mistral-tok bench`: the speed of this library on this machine and on your text."""

from __future__ import annotations

import statistics
import sysconfig
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import click

from mistral_tok.cli.common import json_option, load, put_json, read, vocab_option


@click.command("bench")
@click.argument("paths", nargs=-1, metavar="[FILE]...")
@vocab_option
@click.option("--chars", default=2000, show_default=True, type=click.IntRange(min=1), help="Characters a document.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=1), help="Runs; the median is printed.")
@json_option
def command(paths: tuple[str, ...], vocab: str, chars: int, rounds: int, as_json: bool) -> None:
    """Measure encoding and decoding of FILEs, in MB (10⁶ bytes of UTF-8) a second.

    Without a FILE, of about 2 MB of Python's standard library. One thread, except for the batch.
    """
    whole = "\n".join(read(p) for p in paths) if paths else _library(2_000_000)
    documents = [whole[i : i + chars] for i in range(0, len(whole), chars)]
    if not documents:
        raise click.ClickException("There is no text to measure.")
    tokenizer = load(vocab)
    size = len(whole.encode()) / 1e6
    ids = [tokenizer.encode(d) for d in documents]
    calls: dict[str, Callable[[], object]] = {
        "encode": lambda: [tokenizer.encode(d) for d in documents],
        "encode_ragged": lambda: tokenizer.encode_ragged(documents, threads=1),
        "encode_batch, all threads": lambda: tokenizer.encode_batch(documents),
        "count": lambda: [tokenizer.count(d) for d in documents],
        "decode": lambda: [tokenizer.decode(row) for row in ids],
    }
    if not as_json:
        click.echo(f"{vocab}: {size:.1f} MB, {len(documents)} documents, {sum(map(len, ids))} tokens")
    for name, call in calls.items():
        rate = size / _median(call, rounds)
        put_json({"call": name, "mb_per_second": round(rate, 2)}) if as_json else click.echo(f"{name}: {rate:.1f} MB/s")


def _median(call: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        start = perf_counter()
        call()
        taken.append(perf_counter() - start)
    return statistics.median(taken)


def _library(size: int) -> str:
    """About `size` bytes of the standard library's Python files."""
    out: list[str] = []
    done = 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="ignore")
        out.append(text)
        done += len(text.encode())
        if done >= size:
            break
    return "".join(out)
