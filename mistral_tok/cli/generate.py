"""`mistral-tok generate`: a message in, an answer out, for scripts."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from mistral_tok.cli.common import json_option, put_json, texts_options
from mistral_tok.cli.generation import Screen, apart, chosen, generation_options, last_line_off, with_system
from mistral_tok.cli.models import open_pipeline


@click.command("generate")
@texts_options
@generation_options
@click.option("--raw", is_flag=True, help="Go on with the text instead of answering it.")
@json_option
def command(
    texts: tuple[str, ...],
    files: bool,
    model: str | None,
    system: str | None,
    device: str | None,
    dtype: str | None,
    raw: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Print a model's answer to each TEXT, or to standard input, as it is generated.

    `echo Hello | mistral-tok generate --model smollm2`. The line end that `echo` writes is no part of the message.
    With --json, one event a line: text, thinking, tool calls, results, and why it ended after how many tokens.
    """
    from mistral_tok.cli.common import each_text
    from mistral_tok.errors import InvalidRequestException

    if raw and (system is not None or options["tools_file"]):
        raise click.UsageError("--raw goes on with a text; --system and --tools are for messages.")
    given = chosen(**options)
    pipe = open_pipeline(model, device, dtype, given.get("tools"))
    screen = Screen(text_only=True)
    for text in [last_line_off(text) for text in each_text(texts, files)]:
        if not raw and not text.strip():
            raise InvalidRequestException("The message is empty; give a text, or write one to standard input.")
        with pipe(text if raw else with_system(system, text), stream=True, **given) as events:
            screen.begin()
            for event in apart(events):
                put_json(msgspec.to_builtins(event)) if as_json else screen.show(event)
        if not as_json:
            screen.end()
