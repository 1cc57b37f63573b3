"""Ids of a model's output → events, as the ids come in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

from mistral_tok.chat.callscan import CallScanner, Step
from mistral_tok.chat.decoder import Decoder, Stream, format_of, plain_ids
from mistral_tok.chat.events import (
    SPOILT,
    ArgumentsDelta,
    CallBegun,
    CallComplete,
    End,
    Event,
    Fault,
    Problem,
    TextDelta,
    ThinkingDelta,
    made_id,
)
from mistral_tok.errors import TokenizerException

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NINE = re.compile(r"[a-zA-Z0-9]{9}")

State = Literal["text", "thinking", "list", "name", "id", "arguments", "ended"]


class StreamParser:
    """Reads one output of a model. `push` ids as they come, then `finish`; both give a list of events.

    The events, joined, are the same for every split of the ids (`events.join`). Nothing is raised for what a model may
    write, and none of its text is lost: what does not fit the format of the tokenizer's version comes as text, after a
    Problem that names the fault. Only the brackets and commas around well-formed calls are dropped, and `<s>` and
    padding at the ends.

    `mend_ids` replaces call ids that a conversation in this format could not have, so that it can go on.

    Memory: the text of the call being read. Time: linear in the number of ids.
    """

    def __init__(self, tokenizer: Decoder, *, version: str | None = None, mend_ids: bool = False) -> None:
        self._tokenizer = tokenizer
        self._mend_ids = mend_ids
        self._about_ids = "another one was made up" if mend_ids else "it is kept"
        self._format = format_of(tokenizer, version)
        self._size = tokenizer.vocab_size
        self._special = tokenizer.special_ids
        self._controls = self._actions(tokenizer.special_names)
        self._padding = {id for id in (tokenizer.eos_id, tokenizer.pad_id) if id is not None}
        self._state: State = "text"
        self._stream: Stream | None = None
        self._events: list[Event] = []
        self._position = 0
        self._finished = False
        self._begun = 0  # calls announced so far
        self._ids: set[str] = set()
        self._clear_call()

    def push(self, ids: int | Iterable[int]) -> list[Event]:
        """What the next ids say. An id outside the vocabulary is a Problem; something that is no int is a TypeError."""
        if self._finished:
            raise TokenizerException("This output is finished; read the next one with a new StreamParser.")
        run: list[int] = []
        for id in plain_ids(ids):
            if id in self._special or not 0 <= id < self._size:
                self._push_text(run)
                run = []
                self._control(id)
                self._position += 1
            else:
                run.append(id)
        self._push_text(run)
        return self._taken()

    def settle(self) -> list[Event]:
        """Text that was held back, although more may follow; for a text that somebody else has begun."""
        if self._stream is not None:
            self._say(self._stream.settle())
        return self._taken()

    def finish(self) -> list[Event]:
        """What remains to be said now that no more ids come; nothing the second time."""
        if not self._finished:
            self._finished = True
            self._close()
        return self._taken()

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _actions(self, names: Any) -> dict[int, Callable[[int], None]]:
        """What each control id of the format does; all others are out of place."""
        actions: dict[str, Callable[[int], None]] = {}
        if self._format.calls is not None:
            actions["[TOOL_CALLS]"] = self._begin_calls
        if self._format.calls in ("name id arguments", "name arguments"):
            actions["[ARGS]"] = self._begin_arguments
        if self._format.calls == "name id arguments":
            actions["[CALL_ID]"] = self._begin_id
        if self._format.thinking and "[/THINK]" in names:
            actions |= {"[THINK]": self._begin_thinking, "[/THINK]": self._end_thinking}
        found = {names[name]: action for name, action in actions.items() if name in names}
        if self._tokenizer.eos_id is not None:
            found[self._tokenizer.eos_id] = self._end
        return found

    # Text.

    def _push_text(self, ids: list[int]) -> None:
        """Decode a run of ordinary ids; text between two control ids is decoded by itself."""
        if not ids:
            return
        self._resume(ids[0])
        if self._stream is None:
            self._stream = self._tokenizer.stream()
        text = self._stream.push(ids)
        self._position += len(ids)
        self._say(text)

    def _end_text(self) -> None:
        """Say what the decoder still holds, before a control id."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            self._say(stream.finish())

    def _say(self, text: str) -> None:
        """Text goes where the state says."""
        if not text:
            return
        if self._state == "thinking":
            self._events.append(ThinkingDelta(text=text))
        elif self._state == "list":
            self._follow(self._scanner.feed(text))
        elif self._state == "name":
            self._name.append(text)
        elif self._state == "id":
            self._id.append(text)
        elif self._state == "arguments":
            self._arguments.append(text)
            if self._open is not None:
                self._events.append(ArgumentsDelta(index=self._open, text=text))
        else:
            self._events.append(TextDelta(text=text))

    def _problem(self, fault: Fault, message: str, at: int | None = None, call: int | None = None) -> None:
        position = self._position if at is None else at
        self._events.append(Problem(fault=fault, message=message, position=position, call=call))

    # Control ids.

    def _control(self, id: int) -> None:
        self._end_text()
        if id == self._tokenizer.bos_id and self._position == 0:
            return
        if self._state == "ended" and id in self._padding:
            return
        self._resume(id)
        action = self._controls.get(id)
        if action is not None:
            action(id)
            return
        known = 0 <= id < self._size
        fault: Fault = "control_out_of_place" if known else "unknown_id"
        self._misplaced(self._tokenizer.piece(id) if known else f"<unknown id {id}>", fault)

    def _misplaced(self, name: str, fault: Fault = "control_out_of_place") -> None:
        """A control id that means nothing here: its name becomes text, and a call that it stands in is spoilt."""
        self._close_call(fault)
        what = "is not in the vocabulary" if fault == "unknown_id" else "cannot stand here"
        self._problem(fault, f"{name} {what}; it is kept as text.")
        self._say(name)

    def _resume(self, id: int) -> None:
        """Ids after the end: the end was none."""
        if self._state == "ended":
            self._state = "text"
            name = self._tokenizer.piece(self._tokenizer.eos_id) if self._tokenizer.eos_id is not None else ""
            self._problem("after_end", f"More ids follow {name}; they are kept as text.")
            self._say(name)

    def _end(self, id: int) -> None:
        self._close()
        self._events.append(End())
        self._state = "ended"

    def _close(self) -> None:
        """Everything that is open ends here."""
        self._end_text()
        self._close_call(None)
        if self._state == "thinking":
            self._problem("thinking_not_closed", "The thought is not closed.")
            self._state = "text"

    def _begin_thinking(self, id: int) -> None:
        if self._state == "thinking":
            self._problem("nested_thinking", "A thought begins within a thought; the control token is kept as text.")
            self._say(self._tokenizer.piece(id))
            return
        self._close_call(None)
        self._events.append(ThinkingDelta(text="", begins=True))
        self._state = "thinking"

    def _end_thinking(self, id: int) -> None:
        if self._state == "thinking":
            self._events.append(ThinkingDelta(text="", closed=True))
            self._state = "text"
        else:
            self._misplaced(self._tokenizer.piece(id), "stray_thinking_end")

    # Calls.

    def _clear_call(self) -> None:
        self._scanner = CallScanner()
        self._begun_at = 0  # position of the control token: the same however the ids are split
        self._open: int | None = None  # index of the call that was announced and is not complete
        self._written = ""  # the control token before the first call of a list, until that call is complete
        self._name: list[str] = []
        self._id: list[str] = []
        self._arguments: list[str] = []

    def _begin_calls(self, id: int) -> None:
        self._close()
        self._written = self._tokenizer.piece(id)
        self._begun_at = self._position
        self._state = "list" if self._format.calls in ("list", "list with id") else "name"

    def _begin_id(self, id: int) -> None:
        if self._state == "name":
            self._state = "id"
        else:
            self._misplaced(self._tokenizer.piece(id))

    def _begin_arguments(self, id: int) -> None:
        if self._state not in ("name", "id"):
            self._misplaced(self._tokenizer.piece(id))
            return
        self._state = "arguments"
        name, call_id = "".join(self._name), "".join(self._id)
        if name.strip():
            self._announce(name, call_id or None)

    def _announce(self, name: str, call_id: str | None) -> None:
        self._open = self._begun
        self._begun += 1
        self._events.append(CallBegun(index=self._open, name=name, id=call_id))

    def _close_call(self, fault: Fault | None) -> None:
        """A call ends, at its end or (`fault`) in the middle; the state is that of text afterwards."""
        if self._state == "list":
            self._follow(self._scanner.finish())
        elif self._state in ("name", "id", "arguments"):
            self._close_named(fault)
        else:
            return
        self._state = "text"
        self._clear_call()

    def _close_named(self, fault: Fault | None) -> None:
        name, call_id, arguments = "".join(self._name), "".join(self._id), "".join(self._arguments)
        value, reason = _read_json(arguments)
        if not name.strip():
            fault = "no_name"
        elif self._state != "arguments":
            fault = fault or "no_arguments"
        elif reason is not None:
            fault = fault or reason
        if fault is None and self._open is not None:
            self._complete(name, call_id or None, arguments, value)
            return
        written = [self._written, name]
        if self._state == "id" or call_id:
            written += ["[CALL_ID]", call_id]
        if self._state == "arguments":
            written += ["[ARGS]", arguments]
        self._spoil(fault or "no_name", "".join(written))

    def _follow(self, steps: list[Step]) -> None:
        """Steps of a list of calls → events."""
        for step in steps:
            if step.kind == "begun":
                self._announce(step.text, None)
            elif step.kind == "arguments" and self._open is not None:
                self._events.append(ArgumentsDelta(index=self._open, text=step.text))
            elif step.kind == "call":
                self._complete_record(step.record, step.text)
                self._written = ""
            elif step.kind == "spoilt":
                self._spoil(step.fault, self._written + step.text)

    def _complete_record(self, record: dict[str, Any], arguments: str) -> None:
        """An object of a list; a message has no place for further keys, so that a problem has to name them."""
        more = {key: value for key, value in record.items() if key not in ("name", "arguments", "id")}
        if more:
            text = json.dumps(more, ensure_ascii=False)
            self._note("unknown_key", f"A tool call has keys that are not part of it: {text}.")
        self._complete(record["name"], record.get("id"), arguments, record["arguments"])

    def _complete(self, name: str, call_id: object, arguments: str, value: Any) -> None:
        index, self._open = self._open or 0, None
        if not isinstance(call_id, str) or not call_id or call_id == "null":
            if call_id not in (None, "", "null"):
                self._note("bad_id", f"The id {call_id!r} of call {index} is no text; another one was made up.")
            call_id = made_id(index, name, arguments, self._ids)
        elif call_id in self._ids:
            self._note("repeated_id", f"Two calls have the id {call_id!r}; {self._about_ids}.")
            call_id = made_id(index, name, arguments, self._ids) if self._mend_ids else call_id
        elif self._format.call_ids == "nine" and _NINE.fullmatch(call_id) is None:
            fault = f"The id {call_id!r} of call {index} is not nine letters or digits; {self._about_ids}."
            self._note("bad_id", fault)
            call_id = made_id(index, name, arguments, self._ids) if self._mend_ids else call_id
        if _NAME.fullmatch(name) is None:
            self._note("bad_name", f"The name {name!r} of call {index} is not one a tool can have; it is kept.")
        self._ids.add(call_id)
        self._events.append(CallComplete(index=index, name=name, id=call_id, arguments=arguments, value=value))

    def _note(self, fault: Fault, message: str, call: int | None = None) -> None:
        """A problem of the calls that are being read."""
        self._problem(fault, message, self._begun_at, call)

    def _spoil(self, fault: Fault | None, text: str) -> None:
        """What looked like a call is text."""
        call, self._open = self._open, None
        self._written = ""
        if fault is not None:
            self._note(fault, SPOILT.get(fault, "This is no tool call; it is kept as text."), call)
        if text:
            self._events.append(TextDelta(text=text))


def _read_json(text: str) -> tuple[Any, Fault | None]:
    """The value of a JSON text, or what is wrong with it."""
    try:
        return json.loads(text), None
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        return None, "arguments_cut_off" if cut else "arguments_not_json"
    except (ValueError, RecursionError):
        return None, "arguments_not_json"
