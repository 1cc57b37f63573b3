"""Is this conversation allowed, for this tokenizer version and this purpose? The first offence is raised.

Order: model name, structure of the list, each message, tools, settings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from mistral_tok.chat.formats import Format
from mistral_tok.chat.messages import AssistantMessage
from mistral_tok.chat.refusals import ConflictingContentException
from mistral_tok.chat.requests import ChatFields
from mistral_tok.errors import (
    InvalidAssistantMessageException,
    InvalidFunctionCallException,
    InvalidMessageStructureException,
    InvalidRequestException,
    InvalidSystemPromptException,
    InvalidToolMessageException,
    InvalidUserMessageException,
    MistralCommonException,
)

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\n?")
"""Names of functions. The reference's pattern ends in `$`, which lets one trailing newline pass."""
NINE = re.compile(r"[a-zA-Z0-9]{9}\n?")
"""Ids of calls up to v11, with the same liberty."""
NAME_RULE = "a name has 1 to 64 of a-z, A-Z, 0-9, underscores and dashes"
NINE_RULE = "an id has nine of a-z, A-Z and 0-9"
FREE_RULE = "an id must not be empty or 'null'"

FORBIDDEN = frozenset(
    {("system", "tool"), ("user", "tool"), ("assistant", "system"), ("tool", "system")},
)
"""Roles that may not follow each other."""

CONTENT_ERRORS: dict[str, type[MistralCommonException]] = {
    "user": InvalidUserMessageException,
    "assistant": InvalidAssistantMessageException,
    "system": InvalidSystemPromptException,
    "tool": InvalidToolMessageException,
}
UNBALANCED = "Not the same number of function calls and responses"


def validate(request: ChatFields, roles: list[str], row: Format, mode: str) -> None:
    """Check everything but the tools' schemas and the settings; `roles` are those of the messages.

    Raises:
        MistralCommonException: one of its subclasses; the message names the place.

    """
    if mode == "serving" and request.model is None:
        raise InvalidRequestException("Serving needs the name of a model in `model`.")
    messages = request.messages
    check_structure(messages, roles, row, mode)
    last = len(roles) - 1
    for i, role in enumerate(roles):
        m = messages[i]
        if role == "assistant":
            _check_assistant(m, i, row, mode, i == last)
        elif role == "tool":
            _check_tool(m, i, row)
        elif type(m.content) is not str:
            check_chunks(m, i, row.user_chunks if role == "user" else row.system_chunks)


def check_structure(messages: Sequence[Any], roles: list[str], row: Format, mode: str) -> None:
    """Number and order of messages, the last one, pairing of calls and results, audio beside system messages."""
    if not roles:
        raise InvalidMessageStructureException("A conversation needs at least one message.")
    if len(roles) == 1:
        if roles[0] != "user" and roles[0] != "system":
            raise InvalidMessageStructureException(
                f"A single message must be a user or system message, got role '{roles[0]}' (at $.messages[0])."
            )
        if mode == "finetuning":
            _check_last(messages[0], 0, row, mode)
        return
    _check_last(messages[-1], len(roles) - 1, row, mode)
    if not FORBIDDEN.isdisjoint(pairwise(roles)):
        _refuse_order(roles)
    (_check_counts if row.pairing == "count" else _check_ids)(messages, roles, mode)
    if row.audio_beside_system == "refused":
        refuse_audio(messages, roles, ("input_audio", "audio_url"))


def _check_last(m: Any, i: int, row: Format, mode: str) -> None:
    if mode == "agnostic":
        return
    if mode != "finetuning":
        if m.role == "assistant" and not m.prefix:
            raise InvalidMessageStructureException(
                "The last role must be user or tool, or assistant with prefix=True, got 'assistant' "
                f"(at $.messages[{i}])."
            )
        return
    if m.role != "assistant":
        raise InvalidMessageStructureException(
            f"The last role must be assistant for finetuning, got '{m.role}' (at $.messages[{i}])."
        )
    if m.prefix:
        raise InvalidMessageStructureException(
            f"Finetuning cannot continue a final message: prefix must be False (at $.messages[{i}])."
        )
    if row.call_ids != "any":
        _check_calls(m, i, row, mode, last=True)


def _refuse_order(roles: list[str]) -> None:
    for i, pair in enumerate(pairwise(roles), 1):
        if pair in FORBIDDEN:
            raise InvalidMessageStructureException(
                f"Unexpected role '{pair[1]}' after role '{pair[0]}' (at $.messages[{i}])."
            )


def _check_counts(messages: Sequence[Any], roles: list[str], mode: str) -> None:
    """Up to v7: as many results as calls. The first message is not looked at, as in the reference."""
    open_calls = 0
    for i in range(1, len(roles)):
        role = roles[i]
        if role == "assistant":
            if open_calls:
                raise InvalidMessageStructureException(f"{UNBALANCED} (at $.messages[{i}]).")
            calls = messages[i].tool_calls
            if calls is not None:
                open_calls = len(calls)
        elif role == "tool":
            open_calls -= 1
    if open_calls and mode == "serving":
        raise InvalidMessageStructureException(f"{UNBALANCED} (at the end).")
    if open_calls < 0 and mode == "finetuning":
        raise InvalidMessageStructureException("More tool responses than tool calls (at the end).")


def _check_ids(messages: Sequence[Any], roles: list[str], mode: str) -> None:
    """From v11: each result answers an open call. The first message is not looked at, as in the reference."""
    calls: set[str] = set()
    seen: set[str] = set()
    for i in range(1, len(roles)):
        role = roles[i]
        if role == "assistant":
            if len(calls) != len(seen):
                raise InvalidMessageStructureException(f"{UNBALANCED} (at $.messages[{i}]).")
            if calls:
                calls, seen = set(), set()
            if messages[i].tool_calls:
                _open_calls(messages[i], i, calls)
        elif role == "tool":
            call_id = messages[i].tool_call_id
            if call_id in seen or call_id not in calls:
                kind = "Duplicate" if call_id in seen else "Unexpected"
                raise InvalidMessageStructureException(
                    f"{kind} tool call id {call_id} in tool results (at $.messages[{i}].tool_call_id)."
                )
            seen.add(call_id)
    if len(calls) != len(seen) and mode == "serving":
        raise InvalidMessageStructureException(f"{UNBALANCED} (at the end).")


def _open_calls(m: AssistantMessage, i: int, calls: set[str]) -> None:
    for k, call in enumerate(m.tool_calls or ()):
        if call.id in calls:
            raise InvalidMessageStructureException(
                f"Duplicate tool call id {call.id} in assistant message (at $.messages[{i}].tool_calls[{k}])."
            )
        calls.add(call.id)


def refuse_audio(messages: Sequence[Any], roles: Sequence[str], kinds: tuple[str, ...]) -> None:
    """Refuse a conversation with system messages in which a user message has a chunk of these kinds."""
    if "system" not in roles:
        return
    heard = [i for i, role in enumerate(roles) if role == "user" and _has_chunk(messages[i].content, kinds)]
    if heard:
        system = [i for i, role in enumerate(roles) if role == "system"]
        raise ConflictingContentException(
            f"System messages (at {system}) and audio (in messages {heard}) cannot stand together before v13."
        )


def _has_chunk(content: Any, kinds: tuple[str, ...]) -> bool:
    return isinstance(content, list) and any(chunk.type in kinds for chunk in content)


def check_chunks(m: Any, i: int, allowed: frozenset[str]) -> None:
    """Refuse chunk types that this version does not know in this role."""
    if not isinstance(m.content, list):
        return
    wrong = {type(chunk).__name__: k for k, chunk in reversed(list(enumerate(m.content)))}
    wrong = {name: k for name, k in wrong.items() if name not in allowed}
    if wrong:
        raise CONTENT_ERRORS[m.role](
            f"Unexpected content chunk types in {m.role} message: {sorted(wrong)} "
            f"(at $.messages[{i}].content[{min(wrong.values())}])."
        )


def _check_assistant(m: Any, i: int, row: Format, mode: str, last: bool) -> None:
    if type(m.content) is list:
        check_chunks(m, i, row.assistant_chunks)
    if not row.text_and_calls and bool(m.content) == bool(m.tool_calls):
        raise InvalidAssistantMessageException(
            f"An assistant message must have either content or tool_calls, but not both (at $.messages[{i}])."
        )
    if m.tool_calls:
        _check_calls(m, i, row, mode, last)
    if m.weight is not None and m.weight not in (0, 1) and mode in ("finetuning", "agnostic"):
        raise InvalidAssistantMessageException(
            f"The weight of an assistant message must be 0 or 1 (at $.messages[{i}].weight)."
        )
    if m.prefix and not last:
        raise InvalidAssistantMessageException(
            f"An assistant message with prefix=True must be the last message (at $.messages[{i}])."
        )


def _check_calls(m: AssistantMessage, i: int, row: Format, mode: str, last: bool) -> None:
    for k, call in enumerate(m.tool_calls or ()):
        at = f"(at $.messages[{i}].tool_calls[{k}])"
        if row.call_ids != "any":
            _check_call_id(call.id, row, last and mode in ("finetuning", "agnostic"), at)
        if not NAME.fullmatch(call.function.name):
            raise InvalidFunctionCallException(f"Function name was {call.function.name!r}, but {NAME_RULE} {at}.")


def _check_call_id(call_id: str, row: Format, may_lack: bool, at: str) -> None:
    if row.call_ids == "nine":
        if call_id == "null" and may_lack:
            return
        if not NINE.fullmatch(call_id):
            raise InvalidFunctionCallException(f"Tool call id was {call_id!r}, but {NINE_RULE} {at}.")
    elif not call_id or call_id == "null":
        raise InvalidFunctionCallException(f"Tool call id was {call_id!r}, but {FREE_RULE} {at}.")


def _check_tool(m: Any, i: int, row: Format) -> None:
    if type(m.content) is list:
        check_chunks(m, i, row.tool_chunks)
    if m.name is not None and not NAME.fullmatch(m.name):
        raise InvalidToolMessageException(f"Tool name was {m.name!r}, but {NAME_RULE} (at $.messages[{i}].name).")
    if row.call_ids == "any":
        return
    call_id, at = m.tool_call_id, f"(at $.messages[{i}].tool_call_id)"
    if row.call_ids == "nine":
        if call_id is None:
            raise InvalidRequestException(f"A tool message needs the id of its call {at}.")
        if not NINE.fullmatch(call_id):
            raise InvalidToolMessageException(f"Tool call id was {call_id!r}, but {NINE_RULE} {at}.")
    elif not call_id or call_id == "null":
        raise InvalidToolMessageException(f"Tool call id was {call_id!r}, but {FREE_RULE} {at}.")
