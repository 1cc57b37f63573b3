"""What the commands that generate share: options, tools from a file, and how events are shown."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

import click

from mistral_tok.chat.events import (
    ArgumentsDelta,
    CallBegun,
    CallComplete,
    CallResult,
    Event,
    Finish,
    Problem,
    TextDelta,
    ThinkingDelta,
)
from mistral_tok.errors import MistralTokError

F = TypeVar("F", bound=Callable[..., Any])

TOOLS_MODULE = "mistral_tok_user_tools"
UNPRINTABLE = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""What a model could move the cursor or change a terminal with."""

_SHARE = click.FloatRange(0, 1)
_PART = click.FloatRange(0, 1, min_open=True)
_OPTIONS = (
    click.option("--model", metavar="PATH|NAME", help="tiny, smollm2, a folder, a GGUF file, or a repository."),
    click.option("--system", metavar="TEXT", help="A system prompt."),
    click.option(
        "--tools", "tools_file", type=click.Path(exists=True, dir_okay=False), metavar="FILE.py",
        help="Functions that the model may call: the file is RUN, and those in it that have docstrings are offered.",
    ),
    click.option("--max-new-tokens", type=click.IntRange(min=1), metavar="N", help="Length of an answer at most."),
    click.option("--temperature", type=click.FloatRange(min=0), metavar="T", help="Draw; 0 takes the likeliest."),
    click.option("--top-p", type=_PART, metavar="P", help="Draw from the likeliest that make up this share."),
    click.option("--top-k", type=click.IntRange(min=1), metavar="K", help="Draw from so many at most."),
    click.option("--min-p", type=_SHARE, metavar="P", help="Draw from those with this share of the likeliest's."),
    click.option("--seed", type=int, metavar="N", help="Reproduce what is drawn."),
    click.option("--stop", "stop_strings", multiple=True, metavar="TEXT", help="End an answer here; can be repeated."),
    click.option("--device", metavar="NAME", help="cpu, cuda …; an accelerator if there is one."),
    click.option("--dtype", metavar="NAME", help="float32, bfloat16 …; what the weights are."),
)  # fmt: skip


def generation_options(command: F) -> F:
    """The options of a model and of what it generates."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen(
    tools_file: str | None,
    max_new_tokens: int | None,
    temperature: float | None,
    seed: int | None,
    stop_strings: tuple[str, ...],
    **draws: Any,
) -> dict[str, Any]:
    """The arguments of a pipeline's call that the options stand for; whoever names a way to draw, wants to draw."""
    if "" in stop_strings:
        raise click.UsageError("--stop is empty, and would end every answer where it begins; give a text.")
    draws = {name: value for name, value in draws.items() if value is not None}
    if temperature == 0:
        if draws:
            raise click.UsageError(f"--temperature 0 takes the likeliest; leave out {', '.join(draws)}.")
        draws = {"do_sample": False}
    elif temperature is not None or draws or seed is not None:
        draws |= {"do_sample": True, **({} if temperature is None else {"temperature": temperature})}
    found = {"max_new_tokens": max_new_tokens, "seed": seed, "stop_strings": stop_strings or None}
    found = {name: value for name, value in found.items() if value is not None}
    tools = {"tools": load_tools(tools_file), "run_tools": True} if tools_file else {}
    return {**draws, **found, **tools}


def load_tools(path: str) -> list[Callable[..., Any]]:
    """The public functions of a Python file, which is run.

    Raises:
        click.ClickException: it fails, has none, or one that is no tool.

    """
    from mistral_tok.pipelines.toolbox import Toolbox

    spec = importlib.util.spec_from_file_location(TOOLS_MODULE, path)
    if spec is None or spec.loader is None:
        raise click.ClickException(f"--tools {path}: not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[TOOLS_MODULE] = module  # where functions look for the types that their hints name
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise click.ClickException(f"--tools {path}: {type(error).__name__}: {error}") from error
    found = [
        value
        for name, value in vars(module).items()
        if callable(value) and not isinstance(value, type) and not name.startswith("_") and value.__doc__
        and getattr(value, "__module__", None) == TOOLS_MODULE
    ]  # fmt: skip
    if not found:
        raise click.ClickException(f"--tools {path}: no function with a docstring in it.")
    try:
        Toolbox(found)
    except MistralTokError as error:
        raise click.ClickException(f"--tools {path}: {error}") from error
    return found


def apart(events: Iterator[Event]) -> Iterator[Event]:
    """The same events. What functions print meanwhile goes to standard error; standard output is the answer's."""
    while True:
        with redirect_stdout(sys.stderr):
            event = next(events, None)
        if event is None:
            return
        yield event


class Screen:
    """Shows events as they come: the text, and unless that is all that is wanted thoughts, calls and results.

    Colours and the speed are for a terminal.
    """

    def __init__(self, *, text_only: bool = False) -> None:
        self.terminal = sys.stdout.isatty()
        self._text_only = text_only
        self._at_start = True
        self._tokens = 0
        self._began = 0.0
        self._seconds = 0.0

    def begin(self) -> None:
        """An answer comes."""
        self._at_start, self._tokens, self._began, self._seconds = True, 0, 0.0, 0.0

    def show(self, event: Event) -> None:
        """Print one event."""
        self._began = self._began or time.perf_counter()
        if isinstance(event, TextDelta):
            self._put(event.text)
        elif isinstance(event, Problem):
            self._line()
            click.secho(f"mistral-tok: {event.message}", err=True, fg="yellow")
        elif isinstance(event, Finish):
            self._tokens += event.completion_tokens
            self._seconds += time.perf_counter() - self._began
            self._began = 0.0
        elif not self._text_only:
            self._show_more(event)

    def _show_more(self, event: Event) -> None:
        """Print what is no text of the answer."""
        if isinstance(event, ThinkingDelta):
            self._put(event.text, dim=True)
        elif isinstance(event, CallBegun):
            self._line(f"→ {event.name} ", fg="cyan")
        elif isinstance(event, ArgumentsDelta):
            self._put(event.text, fg="cyan")
        elif isinstance(event, CallComplete):
            self._line()
        elif isinstance(event, CallResult):
            self._line(f"← {event.content}", fg="red" if event.failed else "cyan")
            self._line()

    def end(self, note: str = "") -> None:
        """The answer is over. Of one that was stopped nobody knows how many tokens it had."""
        self._line()
        speed = f"{self._tokens} tokens, {self._tokens / self._seconds:.1f} tokens/s" if self._seconds > 0 else ""
        shown = (speed + note).lstrip(",; ")
        if self.terminal and not self._text_only and shown:
            click.secho(f"[{shown}]", dim=True)

    def _line(self, text: str = "", **style: Any) -> None:
        """Begin a new line."""
        if not self._at_start:
            click.echo()
            self._at_start = True
        self._put(text, **style)

    def _put(self, text: str, **style: Any) -> None:
        if text:
            text = text.translate(UNPRINTABLE) if self.terminal else text
            click.echo(click.style(text, **style) if style else text, nl=False)
            sys.stdout.flush()
            self._at_start = text.endswith("\n")


def last_line_off(text: str) -> str:
    r"""A text without its last line end, which `echo` writes.

    >>> last_line_off("Hello\n")
    'Hello'
    """
    return text.removesuffix("\n").removesuffix("\r")


def with_system(system: str | None, text: str) -> list[dict[str, Any]]:
    """The conversation that a user's message opens."""
    return [*([] if system is None else [{"role": "system", "content": system}]), {"role": "user", "content": text}]


def read_conversation(path: Path) -> list[dict[str, Any]]:
    """The messages in a JSON file: a list of them, or a request.

    Raises:
        click.ClickException: there are none in it.

    """
    import json

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{path}: not JSON: {error}") from None
    messages = found.get("messages") if isinstance(found, dict) else found
    if not isinstance(messages, list) or not all(isinstance(m, dict) and "role" in m for m in messages):
        raise click.ClickException(f"{path}: neither a list of messages nor a request.")
    return messages
