"""`mistral-tok encode`: text to ids."""

from __future__ import annotations

import click

from mistral_tok.cli.common import each_text, json_option, load, put_json, texts_options, vocab_option


@click.command("encode")
@texts_options
@vocab_option
@click.option("--bos", is_flag=True, help="Put the begin-of-sequence id first.")
@click.option("--eos", is_flag=True, help="Put the end-of-sequence id last.")
@click.option("--lines", is_flag=True, help="Every line is a text (its line end is not part of it).")
@json_option
def command(texts: tuple[str, ...], files: bool, vocab: str, bos: bool, eos: bool, lines: bool, as_json: bool) -> None:
    """Print the token ids of each TEXT, one line for each.

    Without TEXT, or for `-`, standard input is read, its last line end included.
    """
    tokenizer = load(vocab)
    for whole in each_text(texts, files):
        for text in whole.split("\n") if lines else (whole,):
            ids = tokenizer.encode(text, bos=bos, eos=eos)
            if as_json:
                put_json({"ids": ids})
            else:
                click.echo(" ".join(map(str, ids)))
