"""What several commands share: options, where texts come from, JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from mistral_tok.tokenizer import Tokenizer

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_VOCAB = "v3-tekken"
STDIN = "-"


def vocab_option(command: F) -> F:
    """`--vocab NAME|PATH`."""
    return click.option(
        "--vocab", metavar="NAME|PATH", default=DEFAULT_VOCAB, show_default=True,
        help="A bundled vocabulary (see `info --list`), a file, or a model folder.",
    )(command)  # fmt: skip


def json_option(command: F) -> F:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")(command)


def texts_options(command: F) -> F:
    """Texts as arguments, from files, or from standard input."""
    command = click.argument("texts", nargs=-1, metavar="[TEXT]...")(command)
    return click.option("-f", "--files", is_flag=True, help="The arguments are names of UTF-8 files, not texts.")(
        command
    )


def load(vocab: str) -> Tokenizer:
    """The tokenizer of a bundled name, a file or a folder."""
    from mistral_tok.tokenizer import Tokenizer

    names = Tokenizer.bundled_names()
    if vocab in names:
        return Tokenizer.bundled(vocab)
    if os.path.exists(vocab):
        return Tokenizer.from_file(vocab)
    raise click.UsageError(f"--vocab {vocab}: neither a file nor one of {', '.join(names)}.")


def read(path: str | Path) -> str:
    """The text of a UTF-8 file, or of standard input for `-`, line ends as they are."""
    data = sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        name = "standard input" if path == STDIN else path
        raise click.ClickException(f"{name}: not UTF-8 at byte {error.start} (0x{data[error.start]:02X}).") from None


def decoded(lines: Iterable[bytes]) -> Iterator[str]:
    """Lines of standard input as text, one as soon as it comes."""
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            where = f"line {number} is not UTF-8 at byte {error.start} (0x{line[error.start]:02X})"
            raise click.ClickException(f"standard input: {where}.") from None


def each_text(texts: tuple[str, ...], files: bool) -> Iterator[str]:
    """The texts that a command was given; standard input where there is none, or for the argument `-`."""
    if files and not texts:
        raise click.UsageError("--files needs names of files.")
    for text in texts or (STDIN,):
        yield read(text) if files or text == STDIN else text


def put_json(value: object) -> None:
    """One line of JSON."""
    click.echo(json.dumps(value, ensure_ascii=False))


def progress_bar() -> Any:
    """A bar on standard error that follows bytes; rich is imported for it."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty())
