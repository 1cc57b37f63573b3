"""What the commands for conversations share: which tokenizer, under which mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mistral_tok.cli.common import DEFAULT_VOCAB, load

if TYPE_CHECKING:
    from mistral_tok.mistral import MistralTokenizer

F = TypeVar("F", bound=Callable[..., Any])

MODES = ("serving", "finetuning", "test", "agnostic")


def tokenizer_options(command: F) -> F:
    """`--vocab NAME|PATH` and `--version vN`."""
    command = click.option(
        "--version",
        metavar="vN",
        help="The tokenizer version: alone its vocabulary on board, or that of a file that does not tell.",
    )(command)
    return click.option("--vocab", metavar="NAME|PATH", help=f"As for `encode`.  [default: {DEFAULT_VOCAB}]")(command)


def mode_option(default: str) -> Callable[[F], F]:
    """`--mode`."""
    return click.option(
        "--mode", type=click.Choice(MODES), default=default, show_default=True, help="Which requests are valid."
    )


def open_tokenizer(vocab: str | None, version: str | None, mode: str) -> MistralTokenizer:
    """The tokenizer that the options name."""
    from mistral_tok.mistral import MistralTokenizer
    from mistral_tok.tokenizer import Tokenizer

    if vocab is None and version is not None:
        if version not in Tokenizer.bundled_names():
            raise click.UsageError(f"--version {version}: no such vocabulary on board; name a file with --vocab.")
        return MistralTokenizer(Tokenizer.bundled(version), mode)
    return MistralTokenizer(load(vocab or DEFAULT_VOCAB), mode, version=version)
