"""A conversation line by line: messages to the model, and commands that begin with a slash."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mistral_tok.cli.generation import Screen, last_line_off, read_conversation
from mistral_tok.errors import MistralTokError
from mistral_tok.pipelines.prompts import plain_messages

if TYPE_CHECKING:
    from mistral_tok.pipelines import TextGenerationPipeline

Message = dict[str, Any]


class Chat:
    """A conversation, always one that can go on: what could not be answered is taken out of it again."""

    def __init__(self, pipe: TextGenerationPipeline, options: dict[str, Any], system: str | None = None) -> None:
        self._pipe = pipe
        self._options = options
        self._screen = Screen()
        self.messages: list[Message] = []
        self._set_system(system or "")
        self._commands: dict[str, tuple[str, Callable[[str], None]]] = {
            "/clear": ("forget the conversation, not the system prompt", self._clear),
            "/undo": ("take back the last message and its answer", self._undo),
            "/system": ("TEXT: set the system prompt; without a text, show it", self._system),
            "/save": ("FILE: write the conversation as JSON", self._save),
            "/load": ("FILE: go on with a conversation", self._load),
            "/help": ("show this", self._help),
            "/exit": ("leave", self._exit),
        }
        self._on_terminal = False
        self._over = False

    def talk(self) -> None:
        """Talk on a terminal, until /exit or Ctrl-D."""
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # editing and history in input()
        self._on_terminal = True
        click.secho("/help shows what can be said; Ctrl-C stops an answer, Ctrl-D leaves.", dim=True)
        while not self._over:
            try:
                line = input("> ")
            except KeyboardInterrupt:
                click.echo()
                continue
            except EOFError:
                click.echo()
                return
            except UnicodeDecodeError:
                click.secho("mistral-tok: error: that was not UTF-8; set the terminal to it.", err=True, fg="red")
                continue
            try:
                self.line(line)
            except (MistralTokError, ValueError, RuntimeError, OSError, click.ClickException) as error:
                text = error.message if isinstance(error, click.ClickException) else str(error)
                click.secho(f"mistral-tok: error: {' '.join(text.split())}", err=True, fg="red")
            except KeyboardInterrupt:
                click.echo()

    def read(self, lines: Iterable[str]) -> None:
        """Take lines from a pipe; the first error ends it."""
        for line in lines:
            self.line(last_line_off(line))
            if self._over:
                return

    def line(self, text: str) -> None:
        """Do what a line says. `//` begins a message that begins with a slash."""
        if not text.strip():
            return
        if text.startswith("//"):
            self.answer(text[1:])
        elif text.startswith("/"):
            name, _, argument = text.partition(" ")
            if name not in self._commands:
                raise click.ClickException(f"{name}: no such command; /help lists them.")
            self._commands[name][1](argument.strip())
        else:
            self.answer(text)

    def answer(self, text: str) -> None:
        """Send a message and show the answer; on Ctrl-C what was said by then stays.

        Raises:
            KeyboardInterrupt: there is no terminal at which the conversation could go on.

        """
        events = self._pipe([*self.messages, {"role": "user", "content": text}], stream=True, **self._options)
        note = ""
        self._screen.begin()
        try:
            with events:
                for event in events:
                    self._screen.show(event)
        except KeyboardInterrupt:
            if not self._on_terminal:
                raise
            note = ", stopped"
        said = events.generated_text
        if _says_something(said[-1]):
            self.messages = said
        else:
            note += "; without an answer, the message is taken back"
        self._screen.end(note)

    def _set_system(self, text: str) -> None:
        said = [message for message in self.messages if message["role"] != "system"]
        self.messages = [*([{"role": "system", "content": text}] if text else []), *said]

    def _clear(self, argument: str) -> None:
        self.messages = [message for message in self.messages[:1] if message["role"] == "system"]

    def _undo(self, argument: str) -> None:
        last = max((i for i, message in enumerate(self.messages) if message["role"] == "user"), default=None)
        if last is None:
            raise click.ClickException("/undo: nothing was said yet.")
        self.messages = self.messages[:last]

    def _system(self, argument: str) -> None:
        if argument:
            self._set_system(argument)
            return
        shown = [message["content"] for message in self.messages if message["role"] == "system"]
        click.echo(shown[0] if shown else "There is no system prompt.")

    def _save(self, argument: str) -> None:
        path = _file("/save", argument)
        path.write_text(json.dumps(self.messages, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

    def _load(self, argument: str) -> None:
        messages = read_conversation(_file("/load", argument))
        following = plain_messages([*messages, {"role": "user", "content": "?"}], argument)
        self._pipe.prompts.chat(following, self._options.get("tools"), False, {})  # refuses what cannot go on
        self.messages = messages

    def _help(self, argument: str) -> None:
        for name, (text, _) in self._commands.items():
            click.echo(f"{name:8} {text}")

    def _exit(self, argument: str) -> None:
        self._over = True


def _file(command: str, argument: str) -> Path:
    if not argument:
        raise click.ClickException(f"{command} needs the name of a file.")
    return Path(argument).expanduser()


def _says_something(message: Message) -> bool:
    """Whether a message is an answer that a conversation can go on from: it has text, and no calls that wait."""
    content = message.get("content")
    if message["role"] != "assistant" or message.get("tool_calls"):
        return False
    return bool(content) if isinstance(content, str) else any(chunk.get("text") for chunk in content or ())
