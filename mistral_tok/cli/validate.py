"""`mistral-tok validate`: is every conversation of a file valid?"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import click

from mistral_tok.cli.common import STDIN, json_option, put_json
from mistral_tok.cli.conversation import mode_option, open_tokenizer, tokenizer_options

MAX_LINE = 1 << 28
"""Bytes of the longest line that is read; a file without line ends does not fill the memory."""


@click.command("validate")
@click.argument("file", metavar="FILE.jsonl|-")
@tokenizer_options
@mode_option("finetuning")
@json_option
def command(file: str, vocab: str | None, version: str | None, mode: str, as_json: bool) -> None:
    """Check conversations, one JSON request (or list of messages) a line, by encoding each.

    Prints a line for every bad one, with place and reason, and the counts at the end. Exit code 1 if any is bad.
    """
    from mistral_tok.chat.lines import FileReport, validate_lines

    tokenizer = open_tokenizer(vocab, version, mode)
    sums = FileReport()
    for line in validate_lines(tokenizer, _lines(file)):
        sums.add(line)
        if line.error is not None:
            row = {"line": line.number, "error": line.error, "path": line.path, "reason": line.reason}
            put_json(row) if as_json else click.echo(str(line))
    if as_json:
        counts = {"lines": sums.lines, "bad": sums.bad, "ids": sums.ids, "learnt": sums.learnt}
        put_json({**counts, "errors": dict(sums.errors)})
    else:
        click.echo(f"{sums.lines} lines, {sums.bad} bad, {sums.ids} ids, {sums.learnt} of them learnt")
    if sums.bad:
        raise click.exceptions.Exit(1)


def _lines(name: str) -> Iterator[bytes]:
    """The lines of a file or of standard input; on a terminal a bar on standard error follows."""
    if name == STDIN:
        yield from _read(sys.stdin.buffer)
        return
    with open(name, "rb") as file:
        if not sys.stderr.isatty():
            yield from _read(file)
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("checking", total=os.fstat(file.fileno()).st_size)
            for line in _read(file):
                yield line
                bar.advance(task, len(line))


def _read(file: object) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE):  # type: ignore[attr-defined]
        yield line
