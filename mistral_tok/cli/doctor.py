"""`mistral-tok doctor`: is the text side of a model folder right?"""

from __future__ import annotations

from dataclasses import asdict

import click

from mistral_tok.cli.common import json_option, put_json


@click.command("doctor")
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--version", "version", metavar="V", help="The tokenizer version, where the files do not tell it.")
@click.option("--budget", default=200, show_default=True, help="Conversations that are drawn at random.")
@json_option
def command(folder: str, version: str | None, budget: int, as_json: bool) -> None:
    """Check vocabulary files, settings and chat template of a model FOLDER. Exit code 1 if there are errors."""
    from mistral_tok.templates.doctor import examine

    findings = examine(folder, version=version, budget=budget)
    for finding in findings:
        put_json(asdict(finding)) if as_json else click.echo(str(finding))
    if not findings and not as_json:
        click.echo("Nothing is wrong.")
    if any(finding.severity == "error" for finding in findings):
        raise click.exceptions.Exit(1)
