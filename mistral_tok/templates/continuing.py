"""A conversation whose last message is to go on: what a template prints, up to the end of that message's text."""

from __future__ import annotations

import re

from mistral_tok.templates.errors import TemplateException
from mistral_tok.templates.traced import cut, runs_of


def cut_after(pieces: list[str], message: int, field: str = "content") -> tuple[list[str], int]:
    """The pieces up to the last character of a message's content, and how many characters of the content there are.

    `field` names what is to go on where it is not the content.

    Raises:
        TemplateException: the template does not print it.

    """
    for i in range(len(pieces) - 1, -1, -1):
        stop = len(pieces[i])
        for run in reversed(runs_of(pieces[i])):
            origin = run.origin
            if origin is not None and origin.message == message and _ROOT.split(origin.path)[0] == field:
                return [*pieces[:i], cut(pieces[i], 0, stop)], run.own + run.size
            stop -= run.size
    raise TemplateException(f"The last message cannot be continued: the template does not print its {field}, as text.")


_ROOT = re.compile(r"[.\[:]")
"""What ends the name of a field in a path."""
