"""The README: its examples run, its commands exist, and every command stands in it."""

import doctest
import re
from pathlib import Path

import pytest

from mistral_tok.cli.app import COMMANDS

README = Path(__file__).resolve().parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")
SHELL = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)


def test_examples_run_and_print_what_is_shown() -> None:
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "README", str(README), 0)
    failures: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=failures.append)
    assert result.failed == 0, "".join(failures)
    assert result.attempted == TEXT.count("\n>>> ") > 10


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert re.search(rf"\| `mistral-tok {name}\b", TEXT), f"README.md does not mention `mistral-tok {name}`"


def test_the_readme_names_no_command_that_does_not_exist() -> None:
    named = set(re.findall(r"`mistral-tok ([a-z-]+)", TEXT)) | set(
        re.findall(r"mistral-tok ([a-z]\S*)", " ".join(SHELL))
    )
    assert named <= set(COMMANDS)


def test_the_two_commands_are_shown_once() -> None:
    commands = [line for block in SHELL for line in block.splitlines()]
    assert commands.count('pip install . && mistral-tok encode "Hello, world"') == 1
    assert commands.count('pip install -c tests/constraints.txt ".[test]" && pytest') == 1
