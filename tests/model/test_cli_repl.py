"""The conversation behind `mistral-tok chat`: its commands, answers that are stopped, and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mistral_tok.cli.repl import Chat
from mistral_tok.errors import MistralTokError
from mistral_tok.pipelines import pipeline

from .places import KNOWN, ROOT, TINY

CAPITAL = KNOWN["capital"]["messages"]


@pytest.fixture(autouse=True)
def at_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `--model tiny` is a folder of the repository."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def pipe() -> Any:
    return pipeline(model=TINY, device="cpu")


def test_slash_commands(pipe: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chat = Chat(pipe, {})
    chat.line("/system Answer like a pirate.")
    chat.line("Where is the treasure?")
    assert chat.messages == KNOWN["pirate"]["messages"]
    chat.line(f"/save {tmp_path / 'pirate.json'}")
    chat.line("/clear")
    assert chat.messages == KNOWN["pirate"]["messages"][:1]
    chat.line(f"/load {tmp_path / 'pirate.json'}")
    assert chat.messages == KNOWN["pirate"]["messages"]
    chat.line("/undo")
    assert chat.messages == KNOWN["pirate"]["messages"][:1]
    capsys.readouterr()
    chat.line("/system")
    chat.line("/help")
    out = capsys.readouterr().out
    assert out.startswith("Answer like a pirate.\n") and "/exit" in out
    chat.line("//bin is a folder?")
    assert chat.messages[1] == {"role": "user", "content": "/bin is a folder?"}


@pytest.mark.parametrize(
    "line", ["/undo", "/save", "/load", "/load /no/such/file", "/what", "/load {bad}", "/load {odd}"]
)
def test_lines_that_cannot_be_done(pipe: Any, tmp_path: Path, line: str) -> None:
    import click

    (tmp_path / "bad").write_text("{")
    (tmp_path / "odd").write_text('["a"]')
    chat = Chat(pipe, {})
    with pytest.raises((click.ClickException, OSError)):
        chat.line(line.format(bad=tmp_path / "bad", odd=tmp_path / "odd"))
    assert chat.messages == []


@pytest.mark.parametrize(
    "message",
    [
        {"role": "bob", "content": "Hi"},
        {"role": "user", "content": 5},
        {"role": "user", "content": [{"type": "image_url", "image_url": "x"}]},
    ],
)
def test_a_conversation_that_cannot_go_on_is_not_loaded(pipe: Any, tmp_path: Path, message: dict[str, Any]) -> None:
    (tmp_path / "bad.json").write_text(json.dumps([message]))
    chat = Chat(pipe, {})
    chat.messages = CAPITAL[:2]
    with pytest.raises(MistralTokError, match=r"messages|content"):
        chat.line(f"/load {tmp_path / 'bad.json'}")
    assert chat.messages == CAPITAL[:2]


class Interrupted:
    """A pipeline whose streams end with Ctrl-C after some events."""

    def __init__(self, pipe: Any, after: int) -> None:
        self._pipe, self._after = pipe, after

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        stream = self._pipe(*arguments, **options)
        events, after = stream._events, self._after

        def cut() -> Iterator[Any]:
            for _ in range(after):
                yield next(events)
            events.close()
            raise KeyboardInterrupt

        stream._events = cut()
        return stream


@pytest.mark.parametrize("after", [0, 3])
def test_an_answer_that_was_stopped_can_be_gone_on_from(pipe: Any, after: int) -> None:
    chat = Chat(Interrupted(pipe, after), {})
    chat._on_terminal = True
    chat.answer(CAPITAL[0]["content"])
    said = "The capital of"
    assert chat.messages == ([] if after == 0 else [CAPITAL[0], {"role": "assistant", "content": said}])
    chat._pipe = pipe
    chat.answer("Thanks")
    assert [message["role"] for message in chat.messages][-2:] == ["user", "assistant"]


def test_ctrl_c_in_a_pipe_ends_the_program(pipe: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        Chat(Interrupted(pipe, 2), {}).read([CAPITAL[0]["content"]])


def test_an_error_leaves_the_conversation_as_it_was(pipe: Any) -> None:
    chat = Chat(pipe, {"top_p": 7.0})
    with pytest.raises(ValueError, match="top_p"):
        chat.answer("Hello")
    assert chat.messages == []


def test_a_line_that_is_no_text_does_not_end_the_talk(pipe: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    lines = iter([UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "no"), "/system", EOFError()])

    def said(prompt: str) -> str:
        line = next(lines)
        if isinstance(line, Exception):
            raise line
        return line

    monkeypatch.setattr("builtins.input", said)
    Chat(pipe, {}).talk()
    found = capsys.readouterr()
    assert "not UTF-8" in found.err and "There is no system prompt." in found.out


def test_a_terminal_is_not_controlled_by_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    from mistral_tok.chat.events import TextDelta
    from mistral_tok.cli.generation import Screen

    screen = Screen()
    screen.terminal = True
    screen.show(TextDelta(text="plain "))
    screen.show(TextDelta(text="a\x1b[2Jb\n\tc\x9b"))
    assert capsys.readouterr().out == "plain a\ufffd[2Jb\n\tc\ufffd"
