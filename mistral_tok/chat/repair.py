"""Conversations from elsewhere made valid: foreign tool-call ids mapped, the order of roles fixed, every edit told.

The rules, in this order:

1. Ids. Where a version demands nine letters or digits, any other id becomes nine characters of the SHA-256 of it, in
   base 62: the same in every process, and for call and result alike. A call without an id (`null`, the empty string)
   gets one made from its place. Should two ids of a conversation meet, the later one is hashed again with a counter.
2. Results without an id take the ids of the open calls that no other result names, in order.
3. Roles. A system message behind an assistant or tool message becomes a user message (and so part of the next one),
   and so does a tool message that answers no open call.
4. A conversation that opens with tool calls gets an empty user message in front, for the first message's calls count
   as unknown.
5. In serving mode, an open call that nobody answered gets the empty result in front of the next message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from mistral_tok.chat.formats import Format
from mistral_tok.chat.messages import AssistantMessage, SystemMessage, ToolMessage, UserMessage
from mistral_tok.chat.report import Edit
from mistral_tok.chat.requests import ChatFields
from mistral_tok.chat.validate import FORBIDDEN, NINE

LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
NO_IDS = (None, "", "null")


def nine(text: str) -> str:
    """Nine letters and digits that stand for a text.

    >>> nine("call_abc123") == nine("call_abc123"), len(nine("call_abc123"))
    (True, 9)
    """
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), "big")
    out = ""
    for _ in range(9):
        number, digit = divmod(number, len(LETTERS))
        out += LETTERS[digit]
    return out


class _Ids:
    """Foreign ids → valid ones, for one conversation."""

    def __init__(self, row: Format) -> None:
        self._nine = row.call_ids == "nine"
        self._free = row.call_ids == "any"
        self._new: dict[str, str] = {}
        self._taken: set[str] = set()

    def valid(self, call_id: str | None) -> bool:
        """Whether this version takes an id as it is."""
        if self._free:
            return True
        if call_id is None or call_id in NO_IDS:
            return False
        return not self._nine or (bool(NINE.fullmatch(call_id)) and not call_id.endswith("\n"))

    def keep(self, call_id: str) -> None:
        """Note a valid id, so that none is made that equals it."""
        self._taken.add(call_id)

    def new(self, call_id: str) -> str:
        """The id that replaces a foreign one."""
        if call_id not in self._new:
            made, again = nine(call_id), 0
            while made in self._taken:
                again += 1
                made = nine(f"{call_id}#{again}")
            self._taken.add(made)
            self._new[call_id] = made
        return self._new[call_id]


def repair(request: ChatFields, row: Format, mode: str) -> tuple[ChatFields, list[Edit]]:
    """A copy of the request with valid ids and an allowed order of roles, and what was changed."""
    edits: list[Edit] = []
    messages = _with_ids(request.messages, row, edits)
    messages = _with_roles(messages, row, edits)
    if messages and getattr(messages[0], "tool_calls", None):
        edits.append(Edit("inserted", "$.messages[0]", "an empty user message in front of the opening calls"))
        messages.insert(0, UserMessage(content=""))
    if mode == "serving":
        messages = _answered(messages, row, edits)
    return request.model_copy(update={"messages": messages}), edits


def _with_ids(messages: Sequence[Any], row: Format, edits: list[Edit]) -> list[Any]:
    ids = _Ids(row)
    for m in messages:
        for call in (m.tool_calls or ()) if isinstance(m, AssistantMessage) else ():
            if ids.valid(call.id):
                ids.keep(call.id)
    out: list[Any] = []
    waiting: list[str] = []
    for i, m in enumerate(messages):
        if isinstance(m, AssistantMessage):
            m = _calls_with_ids(m, i, ids, edits)
            waiting = [call.id for call in m.tool_calls or ()]
        elif isinstance(m, ToolMessage):
            call_id = m.tool_call_id
            if call_id is None or not ids.valid(call_id):
                found = ids.new(call_id) if call_id is not None and call_id not in NO_IDS else None
                found = found or _unnamed(waiting, messages[i + 1 :], ids) or ids.new(f"result {i}")
                edits.append(Edit("id changed", f"$.messages[{i}].tool_call_id", f"{call_id!r} became {found!r}"))
                m = m.model_copy(update={"tool_call_id": found})
            if m.tool_call_id in waiting:
                waiting.remove(m.tool_call_id)
        out.append(m)
    return out


def _unnamed(waiting: Sequence[str], following: Sequence[Any], ids: _Ids) -> str | None:
    """The first open call that none of the results that follow names, or else the first."""
    named = set()
    for m in takewhile(lambda m: isinstance(m, ToolMessage), following):
        call_id = m.tool_call_id
        if call_id not in NO_IDS:
            named.add(call_id if ids.valid(call_id) else ids.new(call_id))
    return next((call_id for call_id in waiting if call_id not in named), waiting[0] if waiting else None)


def _calls_with_ids(m: AssistantMessage, i: int, ids: _Ids, edits: list[Edit]) -> AssistantMessage:
    calls: list[Any] = []
    for k, call in enumerate(m.tool_calls or ()):
        if not ids.valid(call.id):
            made = ids.new(f"call {i} {k}" if call.id in NO_IDS else call.id)
            edits.append(Edit("id changed", f"$.messages[{i}].tool_calls[{k}].id", f"{call.id!r} became {made!r}"))
            call = call.model_copy(update={"id": made})
        calls.append(call)
    return m.model_copy(update={"tool_calls": calls}) if calls else m


def _with_roles(messages: Sequence[Any], row: Format, edits: list[Edit]) -> list[Any]:
    out: list[Any] = []
    waiting: list[str | None] = []
    for i, m in enumerate(messages):
        if isinstance(m, AssistantMessage):
            waiting = [call.id for call in m.tool_calls or ()]
        stray = isinstance(m, ToolMessage) and (not waiting or (row.pairing == "ids" and m.tool_call_id not in waiting))
        misplaced = bool(out) and (out[-1].role, m.role) in FORBIDDEN
        if stray or misplaced:
            edits.append(Edit("role fixed", f"$.messages[{i}]", f"the {m.role} message became a user message"))
            m = _as_user(m)
        elif isinstance(m, ToolMessage):
            _settle(waiting, m.tool_call_id)
        out.append(m)
    return out


def _settle(waiting: list[Any], call_id: str | None) -> None:
    """Take the call that a result answers from the open ones: its own, or the first where results are only counted."""
    waiting.remove(call_id if call_id in waiting else waiting[0])


def _as_user(m: SystemMessage | ToolMessage | Any) -> UserMessage:
    content: Any = m.content
    if isinstance(content, list):
        content = [chunk for chunk in content if chunk.type != "thinking"]
    return UserMessage(content=content)


def _answered(messages: Sequence[Any], row: Format, edits: list[Edit]) -> list[Any]:
    out: list[Any] = []
    waiting: list[str] = []
    for i, m in enumerate([*messages, None]):
        if waiting and not isinstance(m, ToolMessage):
            for call_id in waiting:
                edits.append(Edit("inserted", f"$.messages[{i}]", f"an empty result of the call {call_id!r}"))
                out.append(ToolMessage(content="", tool_call_id=call_id))
            waiting = []
        if isinstance(m, AssistantMessage):
            waiting = [call.id for call in m.tool_calls or ()]
        elif isinstance(m, ToolMessage) and waiting and (row.pairing == "count" or m.tool_call_id in waiting):
            _settle(waiting, m.tool_call_id)
        if m is not None:
            out.append(m)
    return out
