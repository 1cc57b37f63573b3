"""What importing costs, that the core is the compiled one, and that every example in a docstring runs."""

from __future__ import annotations

import doctest
import importlib
import json
import pkgutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES

import pytest

import mistral_tok

HEAVY = {"torch", "transformers", "mistral_common", "pydantic", "huggingface_hub", "click", "rich", "numpy"}
RUN = """
import json, sys
{code}
print(json.dumps(sorted(name.partition(".")[0] for name in sys.modules)))
"""


def imported_by(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", RUN.format(code=code)], check=True, capture_output=True, timeout=60)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "code",
    [
        "import mistral_tok",
        "from mistral_tok import pipeline",
        "import mistral_tok; t = mistral_tok.Tokenizer.bundled('v3-tekken'); t.decode(t.encode('Hello')); t.id('a')",
        "import mistral_tok; t = mistral_tok.Tokenizer.bundled('v7'); t.encode_batch(['Hello']); t.count('Hello')",
        "import mistral_tok; t = mistral_tok.Tokenizer.bundled('v7'); t.stream().push(t.encode('Hello')); t.decode(5)",
    ],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    assert not imported_by(code) & HEAVY


def test_the_check_itself_sees_imports() -> None:
    assert imported_by("import numpy, click") & HEAVY == {"numpy", "click"}


COMPILED = (
    "block",
    "build",
    "decode",
    "encode",
    "halves",
    "known",
    "merge",
    "parts",
    "pieces",
    "presplit",
    "reader",
    "share",
    "short",
    "spans",
    "tables",
    "together",
    "trie",
    "unpack",
    "verify",
    "worker",
)


@pytest.mark.parametrize("name", COMPILED)
def test_the_core_is_compiled(name: str) -> None:
    module = importlib.import_module(f"mistral_tok.core.{name}")
    assert module.__file__ and module.__file__.endswith(tuple(EXTENSION_SUFFIXES))


def test_a_core_that_is_not_compiled_is_an_error_with_the_remedy() -> None:
    """With the compiled modules out of reach, nothing falls back to interpreting them."""
    code = f"""
import importlib.machinery as machinery
original = machinery.PathFinder.find_spec
def find_spec(name, path=None, target=None):
    if name in {[f"mistral_tok.core.{name}" for name in COMPILED]!r}:
        return machinery.FileFinder(list(path)[0], (machinery.SourceFileLoader, [".py"])).find_spec(name)
    return original(name, path, target)
machinery.PathFinder.find_spec = staticmethod(find_spec)
import mistral_tok
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: The compiled core of mistral_tok is missing. Install")


def modules() -> list[str]:
    """All modules of the package outside of `model`, whose extra may be missing."""
    found = pkgutil.walk_packages(mistral_tok.__path__, "mistral_tok.", onerror=lambda name: None)
    return sorted(m.name for m in found if not m.name.startswith("mistral_tok.model"))


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    examples = sum(len(t.examples) for n in modules() for t in finder.find(importlib.import_module(n)))
    assert examples >= 20
    assert any(t.examples for t in finder.find(importlib.import_module("mistral_tok.tokenizer")))


def test_what_the_package_offers() -> None:
    for name in mistral_tok.__all__:
        assert getattr(mistral_tok, name) is not None
    assert mistral_tok.__version__ == importlib.import_module("importlib.metadata").version("mistral-tok")
