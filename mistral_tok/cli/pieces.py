"""`mistral-tok pieces`: how a text falls into pieces."""

from __future__ import annotations

import sys

import click

from mistral_tok.cli.common import each_text, json_option, load, put_json, texts_options, vocab_option

COLOURS = ("cyan", "yellow", "green", "magenta")


@click.command("pieces")
@texts_options
@vocab_option
@json_option
def command(texts: tuple[str, ...], files: bool, vocab: str, as_json: bool) -> None:
    """Print each token of each TEXT: id, characters from and to, and piece, between tabs.

    A piece is shown as a Python string, or as bytes where it is not whole characters.
    """
    tokenizer = load(vocab)
    colour = sys.stdout.isatty()
    for text in each_text(texts, files):
        encoding = tokenizer.encode_with_offsets(text)
        spans = encoding.offsets.tolist()
        for k, (i, (start, end)) in enumerate(zip(list(encoding.ids), spans, strict=True)):
            raw = tokenizer.piece_bytes(i)
            if as_json:
                put_json({"id": int(i), "start": start, "end": end, "piece": tokenizer.piece(i), "bytes": raw.hex()})
                continue
            shown = _shown(raw)
            click.echo(f"{i}\t{start}\t{end}\t{click.style(shown, fg=COLOURS[k % 4]) if colour else shown}")


def _shown(raw: bytes) -> str:
    try:
        return repr(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return repr(raw)
