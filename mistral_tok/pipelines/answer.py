"""One output of a model, read as its ids arrive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mistral_tok.chat.events import (
    CallComplete,
    End,
    Event,
    Finish,
    ParsedMessage,
    Problem,
    TextDelta,
    join,
)
from mistral_tok.pipelines.stopstrings import StopStrings

if TYPE_CHECKING:
    from mistral_tok.pipelines.prompts import Message, Prompt
    from mistral_tok.pipelines.toolbox import Toolbox
    from mistral_tok.tokenizer import Tokenizer

Finished = Literal["stop", "length"] | None


class Parser(Protocol):
    """Ids → events."""

    def push(self, ids: int | Iterable[int]) -> list[Event]:
        """What the next ids say."""

    def settle(self) -> list[Event]:
        """What was held back of a text that goes on."""

    def finish(self) -> list[Event]:
        """What remains to be said."""


class PlainText:
    """Reads ids as text and nothing else; control ids are left out."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._stream = tokenizer.stream()

    def push(self, ids: int | Iterable[int]) -> list[Event]:
        """The text that is now complete."""
        return _text(self._stream.push(ids))

    def settle(self) -> list[Event]:
        """What was held back of a text that goes on."""
        return _text(self._stream.settle())

    def finish(self) -> list[Event]:
        """The rest."""
        return _text(self._stream.finish())


def _text(text: str) -> list[Event]:
    return [TextDelta(text=text)] if text else []


class Answer:
    """Events of one output, up to the first stop string in its text; what they add up to at any time."""

    def __init__(
        self,
        parser: Parser,
        prompt: Prompt,
        *,
        eos_id: int | None,
        stop_strings: Sequence[str] = (),
        toolbox: Toolbox | None = None,
    ) -> None:
        self._parser = parser
        self._prompt = prompt
        self._eos_id = eos_id
        self._stops = StopStrings(stop_strings)
        self._toolbox = toolbox
        self._before = [*parser.push(prompt.open_ids), *parser.settle()] if prompt.open_ids else []
        self.ids: list[int] = []
        """The ids of the output."""
        self.events: list[Event] = []
        """Everything that was said."""
        self.cached = 0
        """Ids of the prompt that were in the cache."""
        self.done = False

    def begin(self, cached: int) -> None:
        """Note how many ids of the prompt are in the cache."""
        self.cached = cached

    @property
    def calls(self) -> list[CallComplete]:
        """The whole tool calls so far."""
        return [event for event in self.events if isinstance(event, CallComplete)]

    @property
    def text(self) -> str:
        """The text so far, of a plain text."""
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    def push(self, ids: Sequence[int], finished: Finished) -> list[Event]:
        """Take the next ids, and with the last of them why they are; nothing more is taken after a stop string."""
        said: list[Event] = []
        for i, id in enumerate(ids):
            if self.done:
                return said
            self.ids.append(id)
            last = finished is not None and i == len(ids) - 1
            if last and finished == "stop" and id != self._eos_id:
                said += self._heard([End()])  # an id that ends the output by the caller's word says nothing else
            else:
                said += self._heard(self._parser.push(id))
        if finished is not None and not self.done:
            said += self._heard([*self._parser.finish(), None])
            if not self.done:
                said += self._finish(finished)
        return said

    def give_up(self) -> list[Event]:
        """End without a word, for there is no room for one."""
        return self._finish("length")

    def message(self, last: Message | None) -> Message:
        """The assistant's message so far; `last` is the message that was continued, if any."""
        found = join(self.events)
        if last is None:
            return _message(found)
        last = {key: value for key, value in last.items() if key != "prefix"}  # it is no longer open
        content = last.get("content")
        if isinstance(content, str) and isinstance(found.content, str | None):
            message = _message(found)
            return {**last, **message, "content": content[: self._prompt.kept] + message["content"]}
        return {**last, **_message(join([*self._before, *self.events]))}

    def _heard(self, events: Sequence[Event | None]) -> list[Event]:
        """Pass on what the parser said, text up to a stop string; None stands for the end of the text."""
        said: list[Event] = []
        for event in events:
            text = self._stops.feed(event.text) if isinstance(event, TextDelta) else self._stops.release()
            said += _text(text)
            if self._stops.hit is not None:
                self.events += said
                return [*said, *self._finish("stop")]
            if event is not None and not isinstance(event, TextDelta):
                said.append(event)
            if isinstance(event, CallComplete):
                said += self._check(event)
        self.events += said
        return said

    def _check(self, call: CallComplete) -> list[Event]:
        fault = self._toolbox.fault(call) if self._toolbox is not None else None
        if fault is None:
            return []
        return [Problem(fault=fault[0], message=fault[1], position=len(self.ids) - 1)]

    def _finish(self, finished: Literal["stop", "length"]) -> list[Event]:
        self.done = True
        finish = Finish(
            reason="tool_calls" if finished == "stop" and self.calls else finished,
            prompt_tokens=len(self._prompt.ids),
            completion_tokens=len(self.ids),
            cached_tokens=self.cached,
            stop=self._stops.hit,
        )
        self.events.append(finish)
        return [finish]


def _message(found: ParsedMessage) -> dict[str, Any]:
    """A message as OpenAI's clients write it; `content` is always there, since many templates read it unasked."""
    plain = found.to_openai()
    calls = {"tool_calls": plain["tool_calls"]} if "tool_calls" in plain else {}
    return {"role": "assistant", "content": plain.get("content", ""), **calls}
