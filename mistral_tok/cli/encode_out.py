"""`mistral-tok encode --out`: files of any size to a file of ids."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import click

from mistral_tok.cli.common import STDIN, progress_bar
from mistral_tok.files import Source, encode_files
from mistral_tok.rows import SUFFIXES, row_file
from mistral_tok.tokenizer import Tokenizer


def write(
    texts: tuple[str, ...],
    files: bool,
    out: Path,
    tokenizer: Tokenizer,
    *,
    bos: bool,
    eos: bool,
    lines: bool,
    threads: int | None,
) -> None:
    """Write the ids of all texts to a file, which is there only when all is done."""
    if out.suffix not in SUFFIXES:
        raise click.UsageError(f"--out {out}: the name must end in {' or '.join(SUFFIXES)}.")
    if not out.parent.is_dir():
        raise click.UsageError(f"--out {out}: there is no folder {out.parent}.")
    sources = list(_sources(texts, files))
    with _progress([source.name for source in sources] if files else []) as advance:
        encoded = encode_files(tokenizer, sources, lines=lines, bos=bos, eos=eos, threads=threads, progress=advance)
        try:
            with closing(encoded), row_file(out) as rows:
                for ids, ends in encoded:
                    rows.write(ids, ends)
        except ImportError as error:
            raise click.UsageError(f"--out {out}: {error}") from None
    click.echo(f"{out}: {rows.ids} ids, {rows.rows} texts")


def _sources(texts: tuple[str, ...], files: bool) -> Iterator[Source]:
    if files and not texts:
        raise click.UsageError("--files needs names of files.")
    for number, text in enumerate(texts or (STDIN,), 1):
        if text == STDIN:
            yield Source("standard input", _open_stdin)
        elif files:
            yield Source(text, partial(_open, text))
        else:
            # An argument that was not UTF-8 came with surrogates in it: reading gives its bytes, and says where.
            yield Source(f"text {number}", partial(io.BytesIO, text.encode("utf-8", "surrogateescape")))


def _open(name: str) -> BinaryIO:
    return open(name, "rb", buffering=0)


def _open_stdin() -> BinaryIO:
    # Not `sys.stdin.buffer`: when Ctrl-C comes while another thread reads from it, the interpreter could not close it.
    return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)


@contextmanager
def _progress(names: list[str]) -> Iterator[Callable[[int], object] | None]:
    """Give what is told of bytes that were read: on a terminal, a bar on standard error that follows them."""
    if not names or not sys.stderr.isatty():
        yield None
        return
    sizes = [os.stat(name).st_size for name in names if os.path.isfile(name)]
    with progress_bar() as bar:
        task = bar.add_task("encoding", total=sum(sizes))
        yield lambda size: bar.advance(task, size)
