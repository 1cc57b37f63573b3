"""What a chat template cannot know: where text falls short of the encoder."""

from __future__ import annotations

import re
from typing import Any

from mistral_tok.chat import jsontext
from mistral_tok.chat.formats import FORMATS
from mistral_tok.chat.openai import whole
from mistral_tok.chat.refusals import InvalidShapeException
from mistral_tok.errors import MistralCommonException

MEDIA = frozenset({"image", "image_url", "input_audio", "audio", "audio_url"})
_NINE = re.compile(r"[a-zA-Z0-9]{9}")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,14}")


def beyond_text(request: dict[str, Any], version: str) -> str | None:
    """Why the text of a conversation cannot say what the encoder does, or None where it can.

    Jinja can neither read JSON nor match patterns: arguments given as text are taken as they stand, results of v2
    and v3 are told from JSON by their first and last characters, and names are not checked. Media are only marked.

    >>> beyond_text({"messages": [{"role": "user", "content": "Hi"}]}, "v3") is None
    True
    """
    row = FORMATS[version]
    try:
        whole(request)
    except (InvalidShapeException, AttributeError, TypeError, LookupError):
        return "the shape of requests is not checked"
    except (MistralCommonException, ValueError):
        pass  # refusals of the encoder that a template can make, too
    if request.get("truncate_for_context_length"):
        return "templates do not truncate"
    messages = request.get("messages") or []
    for message in messages:
        if not isinstance(message, dict):
            return "a message is no dict"
        content = message.get("content")
        chunks = content if isinstance(content, list) else []
        kinds = {chunk.get("type") for chunk in chunks if isinstance(chunk, dict)}
        if kinds & MEDIA:
            return "images and recordings are only marked"
        if any(chunk.get("closed") is False for chunk in chunks if isinstance(chunk, dict)):
            return "an open thought and the text behind it are texts of their own"
        if reason := _calls(message, row.call_ids):
            return reason
        if message.get("prefix"):
            return "`prefix` in a dict is not read"
        if (
            message.get("role") == "tool"
            and row.results in ("json list", "json object")
            and not _told(message, row.glue)
        ):
            return "a result's JSON cannot be told by its first and last characters"
    return _tools(request.get("tools") or [])


def _calls(message: dict[str, Any], call_ids: str) -> str | None:
    ids = [message.get("tool_call_id")] if message.get("role") == "tool" else []
    for call in message.get("tool_calls") or []:
        function = call.get("function") or {}
        given = function.get("arguments")
        if isinstance(given, str) and given and _rewritten(given) != given:
            return "arguments are text that is not JSON in the usual form"
        if not _NAME.fullmatch(function.get("name") or ""):
            return "names are not checked"
        ids.append(call.get("id"))
    name = message.get("name")
    if message.get("role") == "tool" and name is not None and not _NAME.fullmatch(name):
        return "names are not checked"
    if call_ids == "nine" and not all(isinstance(i, str) and (len(i.strip()) != 9 or _NINE.fullmatch(i)) for i in ids):
        return "only the length of ids is checked"
    return "an id is missing" if None in ids else None


def _told(message: dict[str, Any], glue: str) -> bool:
    content = message.get("content")
    if isinstance(content, list):
        content = glue.join(filter(None, (chunk.get("text") for chunk in content)))
    if not isinstance(content, str):
        return True
    first, last = content[:1], content[-1:]
    raw = (
        content in ("null", "true", "false") or _NUMBER.fullmatch(content) or (first, last) in (("{", "}"), ("[", "]"))
    )
    return _rewritten(content) == ((content or "{}") if raw or not content else jsontext.quote(content))


def _rewritten(text: str) -> str | None:
    try:
        return jsontext.rewrite(text)
    except MistralCommonException:
        return None


def _tools(tools: list[Any]) -> str | None:
    from mistral_tok.chat.draft7 import problem

    for tool in tools:
        function = tool.get("function") or {} if isinstance(tool, dict) else {}
        if not _NAME.fullmatch(function.get("name") or "") or problem(function.get("parameters") or {}):
            return "tools are not checked"
    return None
