"""`mistral-tok chat`: talk to a model."""

from __future__ import annotations

import sys
from typing import Any

import click

from mistral_tok.cli.common import decoded
from mistral_tok.cli.generation import chosen, generation_options
from mistral_tok.cli.models import offered, open_pipeline


@click.command("chat")
@generation_options
def command(model: str | None, system: str | None, device: str | None, dtype: str | None, **options: Any) -> None:
    """Talk to a model: each line is a message, and /help lists what else can be said.

    Answers are shown as they are generated; Ctrl-C stops an answer, Ctrl-D leaves. In a pipe, every line of standard
    input is answered in turn.
    """
    from mistral_tok.cli.repl import Chat

    given = chosen(**options)
    if model is None and sys.stdin.isatty() and sys.stdout.isatty():
        click.echo(f"Which model? There are {offered()}.")
        model = click.prompt("--model")
    chat = Chat(open_pipeline(model, device, dtype, given.get("tools")), given, system)
    if sys.stdin.isatty():
        chat.talk()
    else:
        chat.read(decoded(sys.stdin.buffer))
