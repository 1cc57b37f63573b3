"""Jinja chat templates: those on board, a renderer that is safe, and a check against the official encoder."""

from mistral_tok.templates.board import Capabilities, capabilities, chat_template, template_for
from mistral_tok.templates.compare import Difference, Report, compare
from mistral_tok.templates.errors import TemplateException, TemplateLimitError, TemplateRefusal
from mistral_tok.templates.limits import Limits
from mistral_tok.templates.template import ChatTemplate

__all__ = [
    "Capabilities",
    "ChatTemplate",
    "Difference",
    "Limits",
    "Report",
    "TemplateException",
    "TemplateLimitError",
    "TemplateRefusal",
    "capabilities",
    "chat_template",
    "compare",
    "template_for",
]
