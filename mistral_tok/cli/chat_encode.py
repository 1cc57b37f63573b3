"""`mistral-tok chat-encode`: a conversation to ids."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mistral_tok.cli.common import STDIN, json_option, put_json, read
from mistral_tok.cli.conversation import mode_option, open_tokenizer, tokenizer_options

if TYPE_CHECKING:
    from mistral_tok.chat.tokenized import Tokenized
    from mistral_tok.mistral import MistralTokenizer

LONGEST_TEXT = 400
"""Characters of one part that the table shows; `--json` shows all."""

COLOURS = {"control": "magenta", "text": "", "tools": "cyan", "settings": "cyan", "glue": "yellow"}


@click.command("chat-encode")
@click.argument("request", metavar="REQUEST.json|-")
@tokenizer_options
@mode_option("test")
@click.option("--spans", is_flag=True, help="Show what each run of ids stands for, as a table.")
@click.option("--max-length", type=click.IntRange(min=1), help="Leave out old turns until this many ids are left.")
@click.option("--repair", is_flag=True, help="Mend foreign call ids and the order of roles.")
@json_option
def command(
    request: str,
    vocab: str | None,
    version: str | None,
    mode: str,
    spans: bool,
    max_length: int | None,
    repair: bool,
    as_json: bool,
) -> None:
    """Print the token ids of a conversation: a request in OpenAI's format, or its list of messages, as JSON.

    `-` reads standard input. Files and addresses that the request names are not opened.
    """
    tokenizer = open_tokenizer(vocab, version, mode)
    done = tokenizer.encode_chat_completion(
        read(request if request != STDIN else STDIN),
        max_length,
        truncation="turns" if max_length else None,
        repair=repair,
        report=True,
        arrays=False,
        allow_files=False,
    )
    if as_json:
        put_json(_plain(done, tokenizer, spans))
        return
    for edit in done.report:
        click.echo(f"mistral-tok: {edit}", err=True)
    if spans:
        _table(done, tokenizer)
    else:
        click.echo(" ".join(map(str, done.tokens)))


def _plain(done: Tokenized, tokenizer: MistralTokenizer, spans: bool) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "ids": done.tokens,
        "prefix_ids": done.prefix_ids,
        "assistant_mask": done.assistant_mask,
        "dropped": list(done.dropped),
        "report": [edit._asdict() for edit in done.report],
    }
    if spans:
        from mistral_tok.chat.lines import span_rows

        plain["spans"] = span_rows(done, tokenizer)
    return plain


def _table(done: Tokenized, tokenizer: MistralTokenizer) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mistral_tok.chat.lines import span_rows

    table = Table("ids", "message", "role", "part", "text", box=None, pad_edge=False)
    for row in span_rows(done, tokenizer):
        message = "" if row["message"] is None else str(row["message"])
        shown = row["text"] if len(row["text"]) <= LONGEST_TEXT else row["text"][: LONGEST_TEXT - 1] + "…"
        style = COLOURS.get(row["part"], "green")
        table.add_row(
            f"{row['start']}:{row['stop']}", message, row["role"], row["part"], Text(repr(shown)[1:-1], style=style)
        )
    width = None if sys.stdout.isatty() else 200
    Console(width=width, highlight=False).print(table)
