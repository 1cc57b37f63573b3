"""A conversation whose last message is to go on: what a template prints, up to the end of that message's text."""

from __future__ import annotations

from mistral_tok.templates.errors import TemplateException
from mistral_tok.templates.traced import Run, runs_of


def cut_after(pieces: list[str], message: int) -> tuple[list[str], int]:
    """The pieces up to the last character of a message's content, and how many characters of the content there are.

    Raises:
        TemplateException: the template does not print the content.

    """
    for i in range(len(pieces) - 1, -1, -1):
        for run in reversed(runs_of(pieces[i])):
            if _is_content(run, message):
                piece = pieces[i][: run.stop]
                return [*pieces[:i], piece], run.own + run.stop - run.start
    raise TemplateException("The last message cannot be continued: the template does not print its content, as text.")


def _is_content(run: Run, message: int) -> bool:
    return run.origin is not None and run.origin.message == message and run.origin.path.partition("[")[0] == "content"
