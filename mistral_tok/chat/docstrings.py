"""Google-style docstrings → description, arguments, result; by the rules of transformers' `get_json_schema`."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from mistral_tok.errors import InvalidToolException

_HEADINGS = ("Args:", "Returns:", "Raises:")
_ENTRY = re.compile(r"([ \t]*)(\w+)([ \t]*\(.*?\))?:(.*)", re.DOTALL)
_NEWLINES = re.compile(r"\s*\n+\s*")
_CHOICES = re.compile(r"\(choices:\s*(.*?)\)\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Docstring:
    """What a docstring says: of the function, of each argument, and of the result (None where it does not)."""

    description: str
    arguments: dict[str, str]
    returns: str | None


def parse_docstring(text: str, names: Collection[str] = ()) -> Docstring:
    r"""Parse a docstring as `inspect.getdoc` gives it.

    The description ends at the first of `Args:`, `Returns:`, `Raises:`. The arguments stand below a line `Args:`, as
    `name: text`, or `name (type): text` if it is one of `names`; what is indented deeper than the name, or has no name,
    continues the text.

    >>> parse_docstring('Add.\n\nArgs:\n    a: The first,\n        that is.\n    b (int): The second.', {"b"}).arguments
    {'a': 'The first, that is.', 'b': 'The second.'}
    """
    text = text.strip()
    return Docstring(
        description=_until(text, _HEADINGS).strip(),
        arguments=_entries(_section(text, "Args:", ("Returns:", "Raises:")) or "", names),
        returns=_stripped(_section(text, "Returns:", ("Raises:",))),
    )


def take_choices(description: str, where: str) -> tuple[str, list[object] | None]:
    """Take a closing `(choices: ["a", "b"])` off an argument's description: the rest, and the choices or None."""
    found = _CHOICES.search(description)
    if found is None:
        return description, None
    choices = _json_list(found.group(1))
    if choices is None:
        raise InvalidToolException(
            f'{where}: the choices in its description must be a JSON list such as ["tea", "coffee"], '
            f"not {found.group(1)!r}."
        )
    return description[: found.start()].strip(), [c.strip() if isinstance(c, str) else c for c in choices]


def _json_list(text: str) -> list[object] | None:
    import json

    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None


def _until(text: str, marks: tuple[str, ...]) -> str:
    """The part of `text` before the first of `marks`, wherever on a line it stands."""
    return text[: min((i for i in map(text.find, marks) if i >= 0), default=len(text))]


def _section(text: str, heading: str, ends: tuple[str, ...]) -> str | None:
    """The body below a line that holds only `heading`."""
    found = re.search(rf"(?:^|\n)\s*{heading}\n", text)
    return None if found is None else _until(text[found.end() :], ends).rstrip()


def _stripped(text: str | None) -> str | None:
    return None if text is None else text.strip()


def _entries(block: str, names: Collection[str]) -> dict[str, str]:
    """Split an `Args:` block at each `name:` that is not indented deeper than the name before it."""
    entries: dict[str, list[str]] = {}
    indent: str | None = None
    lines: list[str] = []
    for line in block.split("\n"):
        if not line.strip():
            continue
        entry = _ENTRY.fullmatch(line)
        deeper = indent is not None and line.startswith((indent + " ", indent + "\t"))
        if entry is not None and not deeper and (entry[3] is None or entry[2] in names):
            indent, name, _, rest = entry.groups()
            lines = entries[name] = [rest]
        else:
            lines.append(line)
    return {name: _NEWLINES.sub(" ", "\n".join(rest).strip()) for name, rest in entries.items()}
