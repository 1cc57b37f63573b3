"""Conversations → batches: chat layout with the arguments that Hugging Face's users know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mistral_tok.batch import Rows, Side, check_side, flat_ids, splits_of, width_of
from mistral_tok.chat.convert import accept
from mistral_tok.chat.openai import continued, public
from mistral_tok.encoding import BatchEncoding, check_tensors, torch_tensor
from mistral_tok.errors import MistralTokError
from mistral_tok.hf_batches import Wanted, laid_out, padded_lists
from mistral_tok.hf_media import adapted, audio_of, pixels
from mistral_tok.hf_options import Shape, refuse_unknown
from mistral_tok.hf_template import Laid, Templates


class Chats(Templates):
    """Batches with the method for conversations."""

    def apply_chat_template(
        self,
        conversation: Any,
        tools: Sequence[Mapping[str, Any] | Callable[..., Any]] | None = None,
        continue_final_message: bool | str = False,
        tokenize: bool = True,
        padding: Any = False,
        truncation: bool = False,
        max_length: int | None = None,
        return_tensors: Any = None,
        return_dict: bool = False,
        *,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        return_assistant_tokens_mask: bool = False,
        reasoning_effort: str | None = None,
        documents: Sequence[Any] | None = None,
        allow_urls: bool = False,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Turn a conversation, or a list of them, into ids.

        A conversation is a list of messages (dicts as in OpenAI's format, or objects) or a request, ours or
        mistral-common's; it is never changed. Tools are dicts or Python functions. The ids are returned alone, or with
        `return_dict` in a BatchEncoding with `pixel_values` and `image_sizes` or `audio` where there are any, and
        `assistant_masks` (1 for what the assistant wrote) if asked for. `tokenize=False` gives text to look at.

        The official encoder does it, unless `chat_template` (a text, or the name of one) is passed or was set: then a
        Jinja template does, whose variables are `documents` and other keyword arguments; see `hf_template`. As a user's
        turn ends where the assistant's begins, `add_generation_prompt` only refuses a conversation that ends with the
        assistant; `continue_final_message` leaves that end open. Http addresses are read with `allow_urls` only.

        Raises:
            ValueError: an argument is not supported, or arguments contradict each other.
            MistralCommonException: the conversation is not valid; the message names the place.
            TemplateException: the template fails, or refuses the conversation.

        """
        place = self._place("apply_chat_template")
        mask = return_assistant_tokens_mask
        _check_options(place, truncation, add_generation_prompt, bool(continue_final_message), kwargs)
        if mask and not (return_dict and tokenize):
            raise ValueError(f"`{place}`: return_assistant_tokens_mask needs return_dict=True and tokenize=True.")
        kind = check_tensors(return_tensors)
        sizes = {"padding": padding, "truncation": truncation, "max_length": max_length, **(tokenizer_kwargs or {})}
        shape = self._chat_shape(place, **sizes)
        conversations, single = _conversations(place, conversation)
        asked = {"tools": tools, "documents": documents, "reasoning_effort": reasoning_effort, **kwargs}
        asked |= {"continue_final_message": continue_final_message, "add_generation_prompt": add_generation_prompt}
        done = self._laid_out(place, conversations, chat_template, asked, mask, tokenize, allow_urls)
        if not tokenize:
            return done.texts[0] if single else done.texts
        return self._batch_of(done, shape, kind, single, return_dict, mask)

    def _chat_shape(
        self,
        place: str,
        *,
        padding: Any,
        truncation: Any,
        max_length: Any,
        pad_to_multiple_of: Any = None,
        padding_side: Any = None,
        **kwargs: Any,
    ) -> Shape:
        """The shape of a batch of conversations; what only `tokenizer_kwargs` can say comes last."""
        refuse_unknown(f"{place}(tokenizer_kwargs=…)", kwargs)
        return self._shape(place, padding, truncation, max_length, pad_to_multiple_of, padding_side)

    def _laid_out(
        self,
        place: str,
        conversations: Sequence[Any],
        chat_template: str | None,
        asked: dict[str, Any],
        mask: bool,
        tokenize: bool,
        allow_urls: bool,
    ) -> Laid:
        """Conversations as the official encoder or a template writes them."""
        source = self._chosen(chat_template, asked["tools"])
        if source is not None:
            return self._by_template(place, source, conversations, asked, mask, tokenize)
        refuse_unknown(place, {name: value for name, value in asked.items() if name not in _KNOWN})
        if asked["documents"]:
            raise ValueError(f"`{place}` does not support `documents`: put them into the messages, as text.")
        if asked["continue_final_message"] not in (True, False, "content"):
            raise ValueError(f"`{place}`: continue_final_message is {asked['continue_final_message']!r}; give True.")
        if asked["add_generation_prompt"]:
            _check_prompt(place, conversations)
        asked = {**asked, "tools": _tools(place, asked["tools"])}
        laid = self._encoded_one_by_one(conversations, asked, mask, allow_urls)
        return laid if tokenize else laid._replace(texts=self._texts(laid.ids, False, False))

    def _encoded_one_by_one(
        self, conversations: Sequence[Any], asked: Mapping[str, Any], mask: bool, allow_urls: bool
    ) -> Laid:
        """Conversations as ids; the plan of each is gone before the next, so that the garbage collector finds few."""
        laid, weights = Laid([], [], [], [], []), self.mode == "finetuning"
        encode = self.tokenizer.encode_chat_completion
        for conversation in conversations:
            try:
                found = encode(_request(conversation, asked, weights), allow_urls=allow_urls)
            except (MistralTokError, ValueError) as error:
                if len(conversations) > 1:
                    error.add_note(f"This was in conversation {len(laid.ids)}.")
                raise
            laid.ids.append(found.tokens)
            if mask:
                laid.assistant_masks.append(found.assistant_mask)
            laid.images.extend(found.images)
            laid.audios.extend(found.audios)
        return laid

    def _batch_of(self, done: Laid, shape: Shape, kind: str | None, single: bool, return_dict: bool, mask: bool) -> Any:
        """The ids of conversations brought into shape."""
        limit = shape.max_length if shape.cut else None
        side = check_side(self.truncation_side, "truncation_side")
        with_mask = Wanted(return_dict and self._wants_mask(None))
        if kind is None:
            ids = _cut(done.ids, limit, side)
            listed: dict[str, tuple[list[list[int]], int]] = {"input_ids": (ids, self.pad_token_id)}
            if mask:
                listed["assistant_masks"] = _cut(done.assistant_masks, limit, side), 0
            widths = list(map(len, ids))
            width = width_of(widths, shape.padding != "max_length", shape.max_length, shape.multiple)
            data: dict[str, Any] = padded_lists(listed, shape, width, with_mask.attention_mask)
            data = {name: value[0] for name, value in data.items()} if single else data
        else:
            rows = Rows.of(splits_of(done.ids))
            rows = rows if limit is None else rows.truncated(limit, side)
            columns: dict[str, Any] = {"input_ids": (flat_ids(done.ids), self.pad_token_id, (None, None))}
            if mask:
                columns["assistant_masks"] = flat_ids(done.assistant_masks), 0, (None, None)
            data = laid_out(columns, rows, shape, kind, with_mask)
            data = {name: torch_tensor(value) for name, value in data.items()} if kind == "pt" else data
        if not return_dict:
            return data["input_ids"]
        return BatchEncoding(data | _media(done, kind), tokenizer=self._core)


def _check_options(place: str, truncation: Any, prompt: bool, go_on: bool, more: dict[str, Any]) -> None:
    """Refuse options that contradict each other; what asks for no more than is so is taken out of `more`."""
    if more.pop("sanitize_control_tokens", None) is False:
        raise ValueError(f"`{place}`: sanitize_control_tokens is False, and control tokens never come from messages.")
    if not isinstance(truncation, bool):
        raise ValueError(f"`{place}`: truncation is {truncation!r}; expected True or False.")
    if prompt and go_on:
        raise ValueError(f"`{place}`: add_generation_prompt and continue_final_message exclude each other.")


def _cut(rows: list[list[int]], limit: int | None, side: Side) -> list[list[int]]:
    """Rows of at most `limit` ids, what is too many taken from `side`."""
    if limit is None:
        return rows
    return [row[:limit] if side == "right" else row[max(0, len(row) - limit) :] for row in rows]


def _conversations(place: str, given: Any) -> tuple[Sequence[Any], bool]:
    """The conversations, and whether it was only one."""
    if hasattr(given, "messages") or isinstance(given, Mapping | str | bytes):
        return [given], True
    if not isinstance(given, Sequence) or len(given) == 0:
        raise ValueError(
            f"`{place}`: the conversation is {given!r:.60}; expected a list of messages, or a list of such lists."
        )
    first = given[0]
    batch = isinstance(first, list | tuple) or hasattr(first, "messages") or (
        isinstance(first, Mapping) and "messages" in first
    )  # fmt: skip
    return (given, False) if batch else ([given], True)


def _check_prompt(place: str, conversations: Sequence[Any]) -> None:
    """Refuse a generation prompt behind an assistant's message."""
    for i, conversation in enumerate(conversations):
        messages = conversation.get("messages", ()) if isinstance(conversation, Mapping) else conversation
        messages = getattr(messages, "messages", messages)
        last = messages[-1] if isinstance(messages, Sequence) and len(messages) else None
        role = last.get("role") if isinstance(last, Mapping) else getattr(last, "role", None)
        if role == "assistant":
            raise ValueError(
                f"`{place}`: conversation {i} ends with a message of the assistant, and add_generation_prompt would "
                "begin another. Pass continue_final_message=True to continue it."
            )


_KNOWN = ("tools", "documents", "reasoning_effort", "continue_final_message", "add_generation_prompt")


def _request(conversation: Any, asked: Mapping[str, Any], weights: bool) -> Any:
    """What the conversation tokenizer takes: a dict in OpenAI's format for plain messages, else a request."""
    tools, go_on, effort = asked["tools"], asked["continue_final_message"], asked["reasoning_effort"]
    messages = _dicts(conversation) if isinstance(conversation, list | tuple) else None
    if messages is not None:
        request: dict[str, Any] = {"messages": messages}
        if tools is not None:
            request["tools"] = tools
        if go_on:
            request["continue_final_message"] = True
        if effort is not None:
            request["reasoning_effort"] = effort
        return request
    if not tools and not go_on and effort is None:
        return conversation
    accepted = public(accept(conversation, tools, weights=weights))
    accepted.messages = continued(accepted.messages, go_on)
    if effort is not None:
        accepted.reasoning_effort = effort
    return accepted


def _dicts(conversation: Sequence[Any]) -> list[dict[str, Any]] | None:
    """The messages in OpenAI's format; None if there are others than dicts."""
    messages = []
    for message in conversation:
        if not isinstance(message, dict):
            return None
        messages.append(message if type(message.get("content")) is str else adapted(message))
    return messages


def _tools(place: str, tools: Any) -> list[Any] | None:
    """Tools as dicts in OpenAI's format, once for all conversations.

    Raises:
        ValueError: they are no list, or one is neither a dict nor a function nor a tool of mistral-common or ours.

    """
    if tools is None:
        return None
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Iterable):
        raise ValueError(f"`{place}`: tools is {tools!r:.60}; expected a list of dicts or functions.")
    return [_tool(f"`{place}`: tools[{i}]", tool) for i, tool in enumerate(tools)]


def _tool(where: str, tool: Any) -> Any:
    if isinstance(tool, Mapping):
        return tool
    if callable(tool):
        from mistral_tok.chat.tools import tool_from_callable

        return tool_from_callable(tool)
    if hasattr(tool, "to_openai"):
        return tool.to_openai()
    raise ValueError(f"{where} is {tool!r:.60}; expected a dict, a function or a Tool.")


def _media(done: Laid, kind: str | None) -> dict[str, Any]:
    """Images and recordings of all conversations, in order."""
    data: dict[str, Any] = {}
    if done.images:
        data["pixel_values"], data["image_sizes"] = pixels(done.images, kind)
    if done.audios:
        data["audio"] = [audio_of(audio) for audio in done.audios]
    return data
