"""Conversations → batches: chat layout with the arguments that Hugging Face's users know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from mistral_tok.batch import Rows, check_side, ragged
from mistral_tok.chat.convert import accept
from mistral_tok.chat.openai import continued, public
from mistral_tok.chat.tokenized import Tokenized
from mistral_tok.encoding import BatchEncoding, check_tensors, torch_tensor
from mistral_tok.hf_batches import Batches, Wanted, laid_out
from mistral_tok.hf_media import adapted, audio_of, pixels
from mistral_tok.hf_options import refuse_unknown


class Chats(Batches):
    """Batches with the method for conversations."""

    def apply_chat_template(
        self,
        conversation: Any,
        tools: Sequence[Mapping[str, Any] | Callable[..., Any]] | None = None,
        continue_final_message: bool = False,
        tokenize: bool = True,
        padding: Any = False,
        truncation: bool = False,
        max_length: int | None = None,
        return_tensors: Any = None,
        return_dict: bool = False,
        *,
        add_generation_prompt: bool = False,
        return_assistant_tokens_mask: bool = False,
        reasoning_effort: str | None = None,
        documents: None = None,
        allow_urls: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Turn a conversation, or a list of them, into ids.

        A conversation is a list of messages (dicts as in OpenAI's format, or objects) or a request, ours or
        mistral-common's; it is never changed. Tools are dicts or Python functions. Without `return_dict` the ids are
        returned alone; with it a BatchEncoding, which has `pixel_values` and `image_sizes` or `audio` where there are
        any, and `assistant_masks` (1 for ids that the assistant wrote) with `return_assistant_tokens_mask`.
        `tokenize=False` gives text with control tokens shown: to look at, not to encode.

        Mistral's layouts open the assistant's turn by ending the user's, so `add_generation_prompt` adds nothing; it
        is refused where it cannot hold, behind an assistant's message. `continue_final_message` leaves the end of
        the last assistant message open. Images and recordings are read from http addresses with `allow_urls` only.

        Raises:
            ValueError: an argument is not supported, or arguments contradict each other.
            MistralCommonException: the conversation is not valid; the message names the place.

        """
        place = self._place("apply_chat_template")
        refuse_unknown(place, kwargs)
        if documents:
            raise ValueError(f"`{place}` does not support `documents`: put them into the messages, as text.")
        if not isinstance(truncation, bool):
            raise ValueError(f"`{place}`: truncation is {truncation!r}; expected True or False.")
        if add_generation_prompt and continue_final_message:
            raise ValueError(f"`{place}`: add_generation_prompt and continue_final_message exclude each other.")
        if return_assistant_tokens_mask and not (return_dict and tokenize):
            raise ValueError(f"`{place}`: return_assistant_tokens_mask needs return_dict=True and tokenize=True.")
        kind = check_tensors(return_tensors)
        shape = self._shape(place, padding, truncation, max_length, None, None)
        conversations, single = _conversations(place, conversation)
        if add_generation_prompt:
            _check_prompt(place, conversations)
        finetuning = self.mode == "finetuning"
        requests = [_request(c, tools, continue_final_message, reasoning_effort, finetuning) for c in conversations]
        if allow_urls:
            done = [self.tokenizer.encode_chat_completion(request, allow_urls=True) for request in requests]
        else:
            done = self.tokenizer.encode_batch(requests)
        if not tokenize:
            texts = self._texts([found.tokens for found in done], False, False)
            return texts[0] if single else texts
        flat, splits = ragged([found.tokens for found in done])
        rows = Rows.of(splits)
        if shape.cut and shape.max_length is not None:
            rows = rows.truncated(shape.max_length, check_side(self.truncation_side, "truncation_side"))
        columns: dict[str, Any] = {"input_ids": (flat, self.pad_token_id, (None, None))}
        if return_assistant_tokens_mask:
            mask = np.fromiter(chain.from_iterable(found.assistant_mask for found in done), np.int64, len(flat))
            columns["assistant_masks"] = (mask, 0, (None, None))
        data = laid_out(columns, rows, shape, kind, Wanted(return_dict and self._wants_mask(None)))
        if kind == "pt":
            data = {name: torch_tensor(value) for name, value in data.items()}
        if single and kind is None:
            data = {name: value[0] for name, value in data.items()}
        if not return_dict:
            return data["input_ids"]
        return BatchEncoding(data | _media(done, kind), tokenizer=self._core)


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


def _request(conversation: Any, tools: Any, go_on: bool, effort: str | None, weights: bool) -> Any:
    """What the conversation tokenizer takes: a dict in OpenAI's format for plain messages, else a request."""
    if isinstance(conversation, list | tuple) and all(isinstance(message, dict) for message in conversation):
        request: dict[str, Any] = {"messages": [adapted(message) for message in conversation]}
        if tools is not None:
            request["tools"] = [_tool(tool) for tool in tools]
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
        accepted.reasoning_effort = effort  # type: ignore[assignment]
    return accepted


def _tool(tool: Any) -> Any:
    if isinstance(tool, Mapping):
        return tool
    if callable(tool):
        from mistral_tok.chat.tools import tool_from_callable

        return tool_from_callable(tool)
    return tool.to_openai()


def _media(done: Sequence[Tokenized], kind: str | None) -> dict[str, Any]:
    """Images and recordings of all conversations, in order."""
    images = [image for found in done for image in found.images]
    audios = [audio for found in done for audio in found.audios]
    data: dict[str, Any] = {}
    if images:
        data["pixel_values"], data["image_sizes"] = pixels(images, kind)
    if audios:
        data["audio"] = [audio_of(audio) for audio in audios]
    return data
