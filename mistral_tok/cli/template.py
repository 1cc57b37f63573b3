"""`mistral-tok template`: the chat template of a vocabulary."""

from __future__ import annotations

import click

from mistral_tok.cli.common import load, vocab_option


@click.command("template")
@vocab_option
@click.option("--version", "version", metavar="V", help="The tokenizer version, where the file does not tell it.")
@click.option("--thinking", is_flag=True, help="Write thoughts, whether or not the file has their tokens (v13, v15).")
@click.option("--generation", is_flag=True, help="Mark what the assistant wrote, for masks.")
@click.option(
    "--mode", type=click.Choice(["test", "agnostic", "finetuning"]), default="test", show_default=True,
    help="Which last message is allowed.",
)  # fmt: skip
def command(vocab: str, version: str | None, thinking: bool, generation: bool, mode: str) -> None:
    """Print the Jinja chat template of a vocabulary."""
    from dataclasses import replace

    from mistral_tok.templates import capabilities, chat_template

    tokenizer = load(vocab)
    can = capabilities(tokenizer)
    can = replace(can, thinking=can.thinking or thinking)
    text = chat_template(version or tokenizer.version, can, mode=mode, generation=generation)  # type: ignore[arg-type]
    click.echo(text, nl=False)
