"""Model settings (v15): what the vocabulary file lets a request ask for, as JSON text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, UnsetType

from mistral_tok.chat import jsontext
from mistral_tok.chat.draft7 import problem
from mistral_tok.chat.requests import ChatFields, ResponseFormat
from mistral_tok.errors import InvalidRequestException

ANY_JSON = {"anyOf": [{"type": "object"}, {"type": "array"}]}
"""The schema that stands for `json_object`."""


def settings_text(request: ChatFields, builder: Mapping[str, Any] | None) -> str | None:
    """The JSON text of the request's settings, None if there are none to write.

    Raises:
        InvalidRequestException: the vocabulary knows no settings, or not this effort, or the schema is not valid.

    """
    if builder is None:
        raise InvalidRequestException(
            "model_settings_builder must not be None: this v15 vocabulary does not say which settings its model knows."
        )
    settings: dict[str, Any] = {}
    if "reasoning_effort" in builder:
        known = builder["reasoning_effort"]
        effort = request.reasoning_effort or known["default"]
        if effort not in known["values"]:
            raise InvalidRequestException(
                f"reasoning_effort should be one of {list(known['values'])}, got {effort} (at $.reasoning_effort)."
            )
        settings["reasoning_effort"] = effort
    schema = _schema(request.response_format) if "json_schema" in builder else None
    if schema is not None:
        if reason := problem(schema):
            raise InvalidRequestException(f"json_schema is not a valid JSON schema: {reason}")
        settings = {"json_schema": schema, **settings}
    return jsontext.dump(settings) if settings else None


def _schema(form: ResponseFormat | UnsetType) -> dict[str, Any] | None:
    if form is UNSET:
        return None
    if form.type == "json_schema" and form.json_schema is not None:
        return form.json_schema.schema
    return ANY_JSON if form.type == "json_object" else None
