"""The group of commands, each imported only when it is called or listed."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    "encode": "mistral_tok.cli.encode",
    "decode": "mistral_tok.cli.decode",
    "count": "mistral_tok.cli.count",
    "pieces": "mistral_tok.cli.pieces",
    "info": "mistral_tok.cli.info",
    "chat-encode": "mistral_tok.cli.chat_encode",
    "validate": "mistral_tok.cli.validate",
    "parse": "mistral_tok.cli.parse",
    "template": "mistral_tok.cli.template",
    "doctor": "mistral_tok.cli.doctor",
    "chat": "mistral_tok.cli.chat",
    "generate": "mistral_tok.cli.generate",
    "bench": "mistral_tok.cli.bench",
}
"""Name → module, whose `command` it is. A new command is a new module and a line here (and one in the README)."""


class Commands(click.Group):
    """A group that finds its commands in `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name]).command
        return command


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from mistral_tok import __version__

        click.echo(f"mistral-tok {__version__}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version.")
def app() -> None:
    """Text to token ids and back, for every Mistral vocabulary.

    Exit codes: 0 done, 1 bad data, 2 bad usage.
    """
