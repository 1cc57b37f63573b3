"""`mistral-tok decode`: ids to text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Literal

import click

from mistral_tok.cli.common import STDIN, json_option, load, put_json, read, vocab_option


@click.command("decode")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("-f", "--files", is_flag=True, help="The arguments are names of files: one row of ids a line.")
@vocab_option
@click.option(
    "--special", type=click.Choice(["ignore", "keep", "raise"]), default="ignore", show_default=True,
    help="What to do with control tokens.",
)  # fmt: skip
@json_option
def command(
    ids: tuple[str, ...], files: bool, vocab: str, special: Literal["ignore", "keep", "raise"], as_json: bool
) -> None:
    """Print the text of the token IDs.

    Ids stand between spaces or commas, or in a JSON array. Without arguments, every line of standard input is a row;
    what `encode` and `encode --json` print is understood.
    """
    rows = _rows(ids, files)
    tokenizer = load(vocab)
    for row in rows:
        text = tokenizer.decode(row, special=special)
        if as_json:
            put_json({"text": text})
        else:
            click.echo(text)


def _rows(ids: tuple[str, ...], files: bool) -> Iterator[list[int]]:
    if ids and not files and ids != (STDIN,):
        yield parse(" ".join(ids), "arguments")
        return
    if files and not ids:
        raise click.UsageError("--files needs names of files.")
    for path in ids or (STDIN,):
        for number, line in enumerate(read(path).splitlines(), 1):
            if line.strip():
                yield parse(line, f"{'standard input' if path == STDIN else path}, line {number}")


def parse(line: str, place: str) -> list[int]:
    """Ids in a line of text.

    >>> parse("1, 2 3", "here"), parse('{"ids": [4]}', "here")
    ([1, 2, 3], [4])
    """
    if line.lstrip().startswith("{"):
        try:
            found = json.loads(line)["ids"]
        except (ValueError, KeyError, RecursionError):
            raise click.ClickException(f'{place}: not a JSON object with "ids".') from None
        if not isinstance(found, list) or not all(type(i) is int for i in found):
            raise click.ClickException(f'{place}: "ids" is not an array of integers.')
        return found
    words = re.split(r"[\s,]+", line.strip().strip("[]").strip(" ,"))
    for word in words:
        if word and not re.fullmatch(r"-?[0-9]{1,18}", word):
            raise click.ClickException(f"{place}: {word[:40]!r} is not a token id.")
    return [int(word) for word in words if word]
