"""`mistral-tok encode`: text to ids, printed or written to a file."""

from __future__ import annotations

from pathlib import Path

import click

from mistral_tok.cli.common import each_text, json_option, load, put_json, texts_options, vocab_option


@click.command("encode")
@texts_options
@vocab_option
@click.option("--bos", is_flag=True, help="Put the begin-of-sequence id first.")
@click.option("--eos", is_flag=True, help="Put the end-of-sequence id last.")
@click.option("--lines", is_flag=True, help="Every line is a text (its line end is not part of it).")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write the ids to FILE.npy, and where each text's begin to FILE.splits.npy, or to FILE.parquet.",
)  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), help="Threads that encode, with --out.  [default: all]")
@json_option
def command(
    texts: tuple[str, ...],
    files: bool,
    vocab: str,
    bos: bool,
    eos: bool,
    lines: bool,
    out: Path | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Print the token ids of each TEXT, one line for each.

    Without TEXT, or for `-`, standard input is read, its last line end included. With --out, ids are written as they
    are made: neither the texts nor the ids need fit in memory.
    """
    if out is not None:
        from mistral_tok.cli.encode_out import write

        if as_json:
            raise click.UsageError("--json prints, --out writes: give one of them.")
        write(texts, files, out, load(vocab), bos=bos, eos=eos, lines=lines, threads=threads)
        return
    if threads is not None:
        raise click.UsageError("--threads needs --out.")
    tokenizer = load(vocab)
    for whole in each_text(texts, files):
        for text in _lines(whole) if lines else (whole,):
            ids = tokenizer.encode(text, bos=bos, eos=eos)
            if as_json:
                put_json({"ids": ids})
            else:
                click.echo(" ".join(map(str, ids)))


def _lines(text: str) -> list[str]:
    """The lines of a text; a line end at its end begins no further one."""
    found = text.split("\n")
    return found if found[-1] else found[:-1]
