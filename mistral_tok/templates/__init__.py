"""Jinja chat templates: those on board, a renderer that is safe, and a check against the official encoder."""

from mistral_tok.templates.errors import TemplateException, TemplateLimitError, TemplateRefusal
from mistral_tok.templates.limits import Limits
from mistral_tok.templates.template import ChatTemplate

__all__ = ["ChatTemplate", "Limits", "TemplateException", "TemplateLimitError", "TemplateRefusal"]
