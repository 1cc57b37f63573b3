"""`mistral-tok parse`: a model's ids to the message that they say."""

from __future__ import annotations

import click

from mistral_tok.cli.common import STDIN, json_option, put_json, read
from mistral_tok.cli.conversation import open_tokenizer, tokenizer_options
from mistral_tok.cli.decode import parse as parse_ids


@click.command("parse")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@tokenizer_options
@json_option
def command(ids: tuple[str, ...], vocab: str | None, version: str | None, as_json: bool) -> None:
    """Print the assistant message that a model's token IDs say: text, thinking, tool calls, and what is malformed.

    Without arguments, every line of standard input is one output.
    """
    from mistral_tok.chat.parse import parse_lines, parse_report

    tokenizer = open_tokenizer(vocab, version, "test")
    lines = [" ".join(ids)] if ids and ids != (STDIN,) else read(STDIN).splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row = parse_ids(line, "arguments" if ids else f"standard input, line {number}")
        if as_json:
            put_json(parse_report(tokenizer.tokenizer, row, version=tokenizer.version))
            continue
        for part, text in parse_lines(tokenizer.parse(row)):
            click.echo(f"{click.style(part, bold=True)}\t{text}")
