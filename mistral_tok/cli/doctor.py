"""`mistral-tok doctor`: is the text side of a model right?"""

from __future__ import annotations

from dataclasses import asdict

import click

from mistral_tok.cli.common import json_option, put_json


@click.command("doctor")
@click.argument("place", metavar="PATH|REPO")
@click.option("--version", "version", metavar="V", help="The tokenizer version, where the files do not tell it.")
@click.option("--revision", metavar="REV", help="Branch, tag or commit of a repository on the hub.")
@click.option("--budget", default=200, show_default=True, help="Conversations that are drawn at random.")
@json_option
def command(place: str, version: str | None, revision: str | None, budget: int, as_json: bool) -> None:
    """Check vocabulary, settings and chat template of a model: a folder, a GGUF file, or a repository on the hub.

    Exit code 1 if there are errors.
    """
    from mistral_tok.templates.doctor import examine

    findings = examine(place, version=version, budget=budget, revision=revision)
    for finding in findings:
        if as_json:
            put_json(asdict(finding))
            continue
        severity = click.style(finding.severity, fg="red" if finding.severity == "error" else "yellow")
        click.echo(severity + str(finding).removeprefix(finding.severity))
    if not findings and not as_json:
        click.echo("Nothing is wrong.")
    if any(finding.severity == "error" for finding in findings):
        raise click.exceptions.Exit(1)
