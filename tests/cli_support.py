"""What the tests of the command line share: running a command in this process, in a shell, and in a terminal."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from mistral_tok.cli.main import run

SCRIPT = str(Path(sysconfig.get_path("scripts")) / "mistral-tok")

Call = Callable[..., tuple[int, str, str]]
"""Runs a command: exit code, standard output, standard error."""


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command in this process."""

    def do(*arguments: str) -> tuple[int, str, str]:
        code = run(list(arguments))
        return code, *capsys.readouterr()

    return do


def shell(*arguments: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process of its own."""
    return subprocess.run(
        [SCRIPT, *arguments], input=stdin, capture_output=True, env=os.environ | environment, timeout=120
    )


def one_line_of_error(text: str) -> bool:
    """Tell whether this is how an error looks."""
    return text.startswith("mistral-tok: error: ") and text.count("\n") == 1 and text.endswith("\n")


def through_a_terminal(*arguments: str) -> str:
    """What a command shows when standard output and error are one pseudo-terminal."""
    pty = pytest.importorskip("pty")
    main, side = pty.openpty()
    process = subprocess.Popen(
        [SCRIPT, *arguments], stdin=side, stdout=side, stderr=side, env=os.environ | {"TERM": "xterm"}
    )
    os.close(side)
    shown = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            break
        if not part:
            break
        shown += part
    os.close(main)
    assert process.wait(60) == 0
    return shown.decode()
