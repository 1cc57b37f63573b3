"""Turns → control ids and texts, by the version's row of the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mistral_tok.chat import jsontext
from mistral_tok.chat.formats import Format
from mistral_tok.chat.mediaids import MediaAccess, MediaIds
from mistral_tok.chat.normalise import JOIN, Call, Conversation, Media, Source, Text, Turn
from mistral_tok.chat.refusals import ConflictingContentException
from mistral_tok.chat.segments import Item, Plan, Row, Segment
from mistral_tok.errors import TokenizerException, UnsupportedTokenizerFeatureException

IMAGE_TYPES = ("image", "image_url")


class Layout:
    """Writes conversations for one vocabulary and one version; immutable."""

    def __init__(
        self, row: Format, control: Callable[[str], int], eos: int, think: tuple[int, int] | None, media: MediaIds
    ) -> None:
        self.row = row
        self._media = media
        self._eos = eos
        self._think = think
        self._calls_writer = self._named_calls if (row.calls or "").startswith("name") else self._listed_calls
        if not row.inst_tokens:
            return
        self._inst, self._inst_end = control("[INST]"), control("[/INST]")
        self._tools, self._tools_end = control("[AVAILABLE_TOOLS]"), control("[/AVAILABLE_TOOLS]")
        self._result, self._result_end = control("[TOOL_RESULTS]"), control("[/TOOL_RESULTS]")
        self._call = control("[TOOL_CALLS]")
        if row.system == "in place":
            self._system, self._system_end = control("[SYSTEM_PROMPT]"), control("[/SYSTEM_PROMPT]")
            self._result_text = control("[TOOL_CONTENT]")
        if row.calls in ("name id arguments", "name arguments"):
            self._args, self._call_id = control("[ARGS]"), control("[CALL_ID]")
        if row.settings:
            self._settings, self._settings_end = control("[MODEL_SETTINGS]"), control("[/MODEL_SETTINGS]")

    def plan(self, conversation: Conversation, access: MediaAccess) -> Plan:
        """The turns with what each is written as. A turn that this version leaves out has an empty row."""
        turns, row = conversation.turns, self.row
        first, last = conversation.first_user, conversation.last_user
        block: Row = ()
        system, system_at, block_at = conversation.system, -1, -1
        if row.tools is not None and (conversation.tools is not None or conversation.settings is not None):
            block = self._block(conversation.tools, conversation.settings)
            block_at = first if row.tools == "first user" else last
        if system is not None:
            system_at = first if row.system == "first user" else last
        if row.results == "json list":
            _refuse_second_results(turns, last)
        rows: list[Row] = []
        for i, turn in enumerate(turns):
            role = turn.role
            if role == "user":
                items = self._user(turn, system if i == system_at else None, access)
                if i == block_at:
                    items = block + items
            elif role == "assistant":
                items = self._assistant(turn, access, i < last and not row.old_calls)
            elif role == "tool":
                items = self._tool(turn, access, i < last and not row.old_calls)
            else:
                items = self._system_turn(turn, access)
            rows.append(items)
        return Plan(turns, rows)

    def _system_turn(self, turn: Turn, access: MediaAccess) -> Row:
        if type(turn.content) is str:
            return (self._system, turn.content, self._system_end) if turn.content else (self._system, self._system_end)
        items: list[Item] = []
        self._content(turn, items, access)
        return (self._system, *items, self._system_end)

    def _block(self, tools: Segment | None, settings: Segment | None) -> Row:
        items: Row = ()
        if tools is not None:
            items = (self._tools, tools, self._tools_end)
        if settings is not None:
            items += (self._settings, settings, self._settings_end)
        return items

    def _user(self, turn: Turn, system: Text | None, access: MediaAccess) -> Row:
        content = turn.content
        if not self.row.inst_tokens:
            return (_in_brackets(turn, system),)
        if type(content) is str:
            if system is not None and system.text:
                return self._inst, _behind(system, turn), self._inst_end
            return (self._inst, content, self._inst_end) if content else (self._inst, self._inst_end)
        items: list[Item] = [self._inst]
        if system is not None and system.text:
            items.append(Segment(system.text + JOIN, "text", system.sources))
        self._content(turn, items, access)
        items.append(self._inst_end)
        return tuple(items)

    def _content(self, turn: Turn, items: list[Item], access: MediaAccess) -> None:
        content = turn.content
        if isinstance(content, str):
            if content:
                items.append(content)
            return
        for part in _image_first(content) if turn.role == "user" else content:
            if isinstance(part, Text):
                items.append(Segment(part.text, "text", part.sources))
            elif part.chunk.type == "thinking":
                self._thought(part, items)
            else:
                items.append(self._media.segment(part, access))

    def _thought(self, part: Media, items: list[Item]) -> None:
        if not self.row.thinking:
            raise TokenizerException(f"Thinking cannot be written before v13 (at $.messages[{part.message}]).")
        if self._think is None:
            raise UnsupportedTokenizerFeatureException(
                f"This vocabulary has no tokens [THINK] and [/THINK] (at $.messages[{part.message}])."
            )
        text = part.chunk.thinking
        items.append(self._think[0])
        items.append(Segment(text, "thinking", (Source(0, len(text), part.message, part.nth, 0, "thinking"),)))
        if part.chunk.closed:
            items.append(self._think[1])

    def _assistant(self, turn: Turn, access: MediaAccess, old: bool) -> Row:
        row, content = self.row, turn.content
        if turn.calls is not None or not content:
            return self._with_calls(turn, access, old)
        end = () if turn.prefix else (self._eos,)
        if type(content) is str:
            text = content.rstrip(" ") if row.strip else content
            return (text, *end) if text else end
        items: list[Item] = []
        self._content(turn, items, access)
        return (*items, *end)

    def _with_calls(self, turn: Turn, access: MediaAccess, old: bool) -> Row:
        """An assistant turn with tool calls, or with nothing at all."""
        row, content = self.row, turn.content
        items: list[Item] = []
        at = f"(at $.messages[{turn.message}])"
        if not turn.calls:
            raise TokenizerException(f"Invalid assistant message: neither content nor tool calls {at}.")
        if row.calls is None:
            raise TokenizerException(f"Tools not implemented for tokenizer {row.version} {at}.")
        if content and not row.text_and_calls:
            raise ConflictingContentException(
                f"Neighbouring assistant messages have content and tool calls, which {row.version} cannot write {at}."
            )
        if old:
            return ()
        if isinstance(content, str):
            if row.strip:
                content = content.rstrip(" ")
            if content:
                items.append(content)
        else:
            self._content(turn, items, access)
        self._calls_writer(turn.calls, items)
        if not turn.prefix:
            items.append(self._eos)
        return tuple(items)

    def _listed_calls(self, calls: Sequence[Call], items: list[Item]) -> None:
        """All calls as one JSON list: `[{"name": …, "arguments": …, "id": …}, …]`."""
        text, sources = "", []
        for k, call in enumerate(calls):
            parts = [("name", jsontext.quote(call.name), "call name"), ("arguments", call.arguments, "arguments")]
            if self.row.calls == "list with id" and call.id and call.id != "null":
                parts.append(("id", jsontext.quote(call.id), "call id"))
            for n, (key, value, part) in enumerate(parts):
                text += f'"{key}": ' if n else ", " * bool(k) + f'{{"{key}": '
                sources.append(Source(len(text) + 1, len(text) + 1 + len(value), call.message, k, 0, part))
                text += value + (", " if n + 1 < len(parts) else "}")
        items.append(self._call)
        items.append(Segment(f"[{text}]", "tool calls", tuple(sources)))

    def _named_calls(self, calls: Sequence[Call], items: list[Item]) -> None:
        """Each call between control tokens."""
        for k, call in enumerate(calls):
            items.append(self._call)
            items.append(_part(call.name, "call name", call.message, k))
            if self.row.calls == "name id arguments" and call.id and call.id != "null":
                items.append(self._call_id)
                items.append(_part(call.id, "call id", call.message, k))
            items.append(self._args)
            items.append(_part(call.arguments, "arguments", call.message, k))

    def _tool(self, turn: Turn, access: MediaAccess, old: bool) -> Row:
        row = self.row
        if row.results is None:
            raise TokenizerException(
                f"Tools not implemented for tokenizer {row.version} (at $.messages[{turn.message}])."
            )
        if old:
            return ()
        items: list[Item] = [self._result]
        if row.results in ("json list", "json object"):
            items.append(self._json_result(turn))
        else:
            if row.results == "id text":
                items.append(_part(turn.call_id or "", "call id", turn.message, None))
                items.append(self._result_text)
            self._content(turn, items, access)
        items.append(self._result_end)
        return tuple(items)

    def _json_result(self, turn: Turn) -> Segment:
        given = turn.content
        value = jsontext.rewrite(given) if isinstance(given, str) else ""
        if self.row.results == "json list":
            name = "null" if turn.name is None else jsontext.quote(turn.name)
            before, after = f'[{{"name": {name}, "content": ', "}]"
        else:
            before, after = '{"content": ', f', "call_id": {jsontext.quote(turn.call_id or "")}}}'
        end = len(before) + len(value)
        sources = [Source(len(before), end, turn.message, None, 0, "result")]
        if self.row.results == "json object":
            sources.append(Source(end + 13, end + len(after) - 1, turn.message, None, 0, "call id"))
        return Segment(before + value + after, "tool result", tuple(sources))


def _part(text: str, part: str, message: int | None, index: int | None) -> Segment:
    return Segment(text, part, (Source(0, len(text), message, index, 0, part),))


def _own_sources(turn: Turn, text: str) -> tuple[Source, ...]:
    return (Source(0, len(text), turn.message, None),) if turn.sources is None else turn.sources


def _behind(system: Text, turn: Turn) -> Segment:
    """The user's text with the system text in front."""
    own: Any = turn.content
    before = system.text + JOIN
    moved = tuple(source.moved(len(before)) for source in _own_sources(turn, own))
    return Segment(before + own, "text", system.sources + moved)


def _in_brackets(turn: Turn, system: Text | None) -> Segment:
    """A user turn of v1: the brackets are plain text."""
    if system is not None and system.text:
        inner = _behind(system, turn)
    else:
        own: Any = turn.content
        inner = Segment(own, "text", _own_sources(turn, own))
    sources = tuple(source.moved(len("[INST] ")) for source in inner.sources or ())
    return Segment(f"[INST] {inner.text} [/INST]", "text", sources)


def _image_first(content: list[Text | Media]) -> list[Text | Media]:
    """One image behind nothing but text moves to the front."""
    last = content[-1]
    if len(content) < 2 or not isinstance(last, Media) or last.chunk.type not in IMAGE_TYPES:
        return content
    return [last, *content[:-1]] if all(isinstance(part, Text) for part in content[:-1]) else content


def _refuse_second_results(turns: Sequence[Turn], last_user: int) -> None:
    """V2 can write one result for the calls of a turn, where it writes any."""
    count, called = 0, False
    for turn in turns[max(last_user, 0) :]:
        if turn.role == "tool":
            count += called
            if count > 1:
                raise UnsupportedTokenizerFeatureException(
                    f"Tokenizer v2 does not support multiple tool results for one turn (at $.messages[{turn.message}])."
                )
        else:
            count, called = 0, turn.role == "assistant" and bool(turn.calls)
