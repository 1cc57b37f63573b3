"""`mistral-tok info`: what a vocabulary is."""

from __future__ import annotations

from typing import Any

import click

from mistral_tok.cli.common import json_option, load, put_json, vocab_option


@click.command("info")
@vocab_option
@click.option("--list", "names_only", is_flag=True, help="Only the names of the bundled vocabularies.")
@json_option
def command(vocab: str, names_only: bool, as_json: bool) -> None:
    """Print name, family, version, size and special tokens of a vocabulary."""
    if names_only:
        from mistral_tok.tokenizer import Tokenizer

        names = Tokenizer.bundled_names()
        put_json(list(names)) if as_json else click.echo("\n".join(names))
        return
    facts = _facts(load(vocab))
    if as_json:
        put_json(facts)
        return
    for key, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        click.echo(f"{click.style(f'{key}:', bold=True)} {shown if value is not None and shown else 'none'}")


def _facts(tokenizer: Any) -> dict[str, object]:
    """The facts in the order in which they are shown; numbered fillers among the control tokens are not named."""
    named = [n for n in tokenizer.special_names if not n.startswith(("<SPECIAL_", "[control_"))]
    return {
        "name": tokenizer.name,
        "family": tokenizer.family,
        "version": tokenizer.version or None,
        "vocab_size": tokenizer.vocab_size,
        "bos_id": tokenizer.bos_id,
        "eos_id": tokenizer.eos_id,
        "unk_id": tokenizer.unk_id,
        "pad_id": tokenizer.pad_id,
        "special_ids": len(tokenizer.special_ids),
        "special_names": named,
        "features": sorted(tokenizer.config),
    }
