"""What can go wrong with a chat template. All are jinja2's TemplateError, too, for code written for transformers."""

from __future__ import annotations

from jinja2.exceptions import TemplateError

from mistral_tok.errors import MistralTokError


class TemplateException(MistralTokError, TemplateError):
    """A chat template cannot be compiled or rendered."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class TemplateRefusal(TemplateException):
    """The template itself refused the conversation, through `raise_exception`."""


class TemplateLimitError(TemplateException):
    """A template needs more output, steps or time than it is allowed."""
