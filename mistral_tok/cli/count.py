"""`mistral-tok count`: how many tokens texts, files or folders have."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from mistral_tok.cli.common import (
    STDIN,
    each_text,
    json_option,
    load,
    progress_bar,
    put_json,
    read,
    texts_options,
    vocab_option,
)


@click.command("count")
@texts_options
@vocab_option
@json_option
def command(texts: tuple[str, ...], files: bool, vocab: str, as_json: bool) -> None:
    """Print the number of tokens of each TEXT.

    With --files, names of folders are searched too: hidden files, and those that are not UTF-8, are passed over there.
    One file at a time is in memory; each count is printed as it is known, and the total last.
    """
    tokenizer = load(vocab)
    if not files:
        for text in each_text(texts, files):
            count = tokenizer.count(text)
            put_json({"tokens": count}) if as_json else click.echo(count)
        return
    if not texts:
        raise click.UsageError("--files needs names of files or folders.")
    found = list(_find(texts))
    total = passed = counted = 0
    for path, searched in _progress(found):
        try:
            text = read(path)
        except click.ClickException:
            if not searched:
                raise
            passed += 1
            continue
        count = tokenizer.count(text)
        total += count
        counted += 1
        put_json({"path": path, "tokens": count}) if as_json else click.echo(f"{count}\t{path}")
    if counted != 1 or len(found) > 1:
        put_json({"total": total, "files": counted, "not_utf8": passed}) if as_json else click.echo(f"{total}\ttotal")
    if passed and not as_json:
        click.echo(f"mistral-tok: passed over {passed} files that are not UTF-8.", err=True)


def _find(names: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Paths of all files, in a fixed order, and whether each was found by searching a folder."""
    for name in names:
        if name == STDIN or not os.path.isdir(name):
            yield name, False
            continue
        for folder, folders, leaves in os.walk(name):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for leaf in sorted(leaves):
                path = os.path.join(folder, leaf)
                if not leaf.startswith(".") and os.path.isfile(path):
                    yield path, True


def _progress(found: list[tuple[str, bool]]) -> Iterator[tuple[str, bool]]:
    """The same items; on a terminal, a bar on standard error follows the bytes that were read."""
    if not sys.stderr.isatty() or len(found) < 2:
        yield from found
        return
    sizes = [Path(p).stat().st_size if p != STDIN and os.path.exists(p) else 0 for p, _ in found]
    with progress_bar() as bar:
        task = bar.add_task("counting", total=sum(sizes))
        for item, size in zip(found, sizes, strict=True):
            yield item
            bar.advance(task, size)
