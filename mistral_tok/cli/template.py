"""`mistral-tok template`: the chat template of a vocabulary, or of a tokenizer version."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from mistral_tok.cli.common import DEFAULT_VOCAB, load

if TYPE_CHECKING:
    from mistral_tok.chat.formats import Format
    from mistral_tok.templates import Capabilities


@click.command("template")
@click.option(
    "--vocab", metavar="NAME|PATH|V", default=DEFAULT_VOCAB, show_default=True,
    help="A bundled vocabulary, a file, a model folder, or a tokenizer version, v1 to v15.",
)  # fmt: skip
@click.option("--version", "version", metavar="V", help="The tokenizer version, where the file does not tell it.")
@click.option("--thinking", is_flag=True, help="Write thoughts, whether or not the file has their tokens (v13, v15).")
@click.option("--images", is_flag=True, help="Mark images, whether or not the file knows them.")
@click.option("--audio", is_flag=True, help="Mark recordings, whether or not the file knows them (v7 and later).")
@click.option(
    "--effort", "efforts", multiple=True, metavar="NAME",
    help="A value of reasoning_effort (v15); the first one is the default. Repeat it for more.",
)  # fmt: skip
@click.option("--json-schema", is_flag=True, help="The answer's schema is a setting (v15).")
@click.option("--generation", is_flag=True, help="Mark what the assistant wrote, for masks.")
@click.option(
    "--mode", type=click.Choice(["test", "agnostic", "finetuning"]), default="test", show_default=True,
    help="Which last message is allowed.",
)  # fmt: skip
def command(
    vocab: str,
    version: str | None,
    thinking: bool,
    images: bool,
    audio: bool,
    efforts: tuple[str, ...],
    json_schema: bool,
    generation: bool,
    mode: str,
) -> None:
    """Print the Jinja chat template of a vocabulary or a tokenizer version."""
    from dataclasses import replace

    from mistral_tok.templates import chat_template

    name, can = _known(vocab, version)
    can = replace(
        can,
        thinking=can.thinking or thinking,
        images=can.images or images,
        audio=can.audio or audio,
        efforts=efforts or can.efforts,
        json_schema=can.json_schema or json_schema,
        builder=can.builder or bool(efforts) or json_schema,
    )
    _check(name, thinking=thinking, images=images, audio=audio, settings=bool(efforts) or json_schema)
    click.echo(chat_template(name, can, mode=mode, generation=generation), nl=False)  # type: ignore[arg-type]


def _known(vocab: str, version: str | None) -> tuple[str, Capabilities]:
    """The tokenizer version, and what the vocabulary can; a version without a file has the usual efforts."""
    from mistral_tok.chat.formats import FORMATS
    from mistral_tok.templates import Capabilities, capabilities
    from mistral_tok.tokenizer import Tokenizer

    if vocab in FORMATS and vocab not in Tokenizer.bundled_names():
        settings = FORMATS[vocab].settings
        return version or vocab, Capabilities(efforts=("none", "high") if settings else (), builder=settings)
    tokenizer = load(vocab)
    return version or tokenizer.version, capabilities(tokenizer)


def _check(version: str, **wanted: bool) -> None:
    """Refuse to write what the version has no rules for."""
    from mistral_tok.chat.formats import FORMATS

    for name, asked in wanted.items():
        fitting = [other for other, row in FORMATS.items() if _RULES[name](row)]
        if asked and version in FORMATS and version not in fitting:
            raise click.UsageError(f"{version} has no rules for {name}; {', '.join(fitting)} have.")


_RULES: dict[str, Callable[[Format], bool]] = {
    "thinking": lambda row: row.thinking,
    "images": lambda row: "ImageURLChunk" in row.user_chunks,
    "audio": lambda row: "AudioURLChunk" in row.user_chunks,
    "settings": lambda row: row.settings,
}
