"""Text or conversation → the ids that a model is given; by the official layout, or by a Jinja chat template."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mistral_tok.chat.parse_stream import StreamParser
from mistral_tok.chat.refusals import ForbiddenTextException, InvalidShapeException
from mistral_tok.errors import InvalidRequestException, TokenizerException

if TYPE_CHECKING:
    from mistral_tok.mistral import MistralTokenizer
    from mistral_tok.templates.template import ChatTemplate
    from mistral_tok.tokenizer import Tokenizer

Message = dict[str, Any]

MEDIA = {
    **dict.fromkeys(("image", "image_url", "input_image"), "an image"),
    **dict.fromkeys(("audio", "audio_url", "input_audio"), "a recording"),
    **dict.fromkeys(("video", "video_url"), "a film"),
}
"""Types of chunks that a model of text cannot read, and what they are."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Ids for the model; where it is to go on with a text, the ids of that text and how much of it they hold."""

    ids: list[int]
    open_ids: list[int]
    """The last ids, which the answer is read together with: a space or a character may begin in them."""
    kept: int = 0
    """Characters of the last message's content."""


class OfficialPrompts:
    """Prompts in the layout of a tokenizer version."""

    def __init__(self, tokenizer: MistralTokenizer) -> None:
        self.chats = tokenizer
        self.tokenizer = tokenizer.tokenizer

    def text(self, text: str, place: str = "$") -> Prompt:
        """A text that is to go on, behind the beginning of a sequence; ForbiddenTextException for a lone surrogate."""
        return _open_text(self.tokenizer, text, True, place)

    def chat(
        self, messages: Sequence[Message], tools: Sequence[Any] | None, go_on: bool, options: Mapping[str, Any]
    ) -> Prompt:
        """A conversation; with `go_on` its last message is continued. `options` are further fields of the request."""
        request = {**options, "messages": list(messages), **({"continue_final_message": True} if go_on else {})}
        done = self.chats.encode_chat_completion(request, tools=tools)
        open_ids = done.prefix_ids or []
        return Prompt(done.tokens, open_ids, len(self.chats.decode(open_ids)))

    def parser(self) -> StreamParser:
        """Reads one answer."""
        return StreamParser(self.tokenizer, version=self.chats.version, mend_ids=True)


class TemplatePrompts:
    """Prompts by a Jinja chat template; without one, texts only.

    Tool calls are read where the vocabulary has the control tokens of one of the official formats.
    """

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate | None, *, bos: bool) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self._bos = bos

    def text(self, text: str, place: str = "$") -> Prompt:
        """A text that is to go on; ForbiddenTextException for a lone surrogate."""
        return _open_text(self.tokenizer, text, self._bos, place)

    def chat(
        self, messages: Sequence[Message], tools: Sequence[Any] | None, go_on: bool, options: Mapping[str, Any]
    ) -> Prompt:
        """A conversation; with `go_on` its last message is continued. `options` are variables of the template."""
        if self.template is None:
            raise TokenizerException(
                f"{self.tokenizer.name} has no chat template, which conversations need: pass chat_template=, or a text."
            )
        messages = [_with_dicts(message) for message in messages]
        if not go_on:
            done = self.template.encode(self.tokenizer, messages, tools=tools, add_generation_prompt=True, **options)
            return Prompt(done.ids, [])
        done = self.template.encode(self.tokenizer, messages, tools=tools, continue_final_message=True, **options)
        special = self.tokenizer.special_ids
        first = next((i for i in range(len(done.ids), 0, -1) if done.ids[i - 1] in special), 0)
        return Prompt(done.ids, done.ids[first:], done.kept)

    def parser(self) -> StreamParser:
        """Reads one answer."""
        return StreamParser(self.tokenizer, mend_ids=True)


Prompts = OfficialPrompts | TemplatePrompts


def _with_dicts(message: Message) -> Message:
    """A message whose calls have their arguments as dicts, as templates for transformers want them."""
    if not message.get("tool_calls"):
        return message
    calls = [{**call, "function": {**call["function"]}} for call in message["tool_calls"]]
    for call in calls:
        arguments = call["function"].get("arguments")
        with suppress(ValueError, RecursionError):
            if isinstance(arguments, str) and isinstance(found := json.loads(arguments), dict):
                call["function"]["arguments"] = found
    return {**message, "tool_calls": calls}


def _open_text(tokenizer: Tokenizer, text: str, bos: bool, place: str) -> Prompt:
    at = next((i for i, character in enumerate(text) if "\ud800" <= character <= "\udfff"), None)
    if at is not None:
        raise ForbiddenTextException(
            f"Half of a surrogate pair is no character: U+{ord(text[at]):04X} (at {place}[{at}]); take it out."
        )
    ids = tokenizer.encode(text, bos=bos and tokenizer.bos_id is not None)
    return Prompt(ids, ids)


def plain_messages(messages: Sequence[Any], place: str) -> list[Message]:
    """Messages as dicts in OpenAI's format, all of them text.

    Raises:
        InvalidRequestException: naming the place of what is no message, or of an image or a recording.

    """
    if not messages:
        raise InvalidRequestException(f"The conversation has no messages (at {place}).")
    plain = [_plain(message, f"{place}[{i}]") for i, message in enumerate(messages)]
    for i, message in enumerate(plain):
        content = message.get("content")
        for k, chunk in enumerate(content if isinstance(content, list) else ()):
            kind = chunk.get("type") if isinstance(chunk, Mapping) else None
            if kind in MEDIA:
                raise InvalidRequestException(
                    f"{MEDIA[kind]} was given to a model that reads text only; leave it out, or describe it in words "
                    f"(at {place}[{i}].content[{k}])."
                )
    return plain


def _plain(message: Any, place: str) -> Message:
    if isinstance(message, dict):
        return message
    for method in ("to_openai", "model_dump"):
        if hasattr(message, method):
            plain: Message = getattr(message, method)()
            name = getattr(message, "name", None)
            return {**plain, "name": name} if plain.get("role") == "tool" and name is not None else plain
    if isinstance(message, Mapping):
        return dict(message)
    raise InvalidShapeException(f"expected a message, got {type(message).__name__}", place)
