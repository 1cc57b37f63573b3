"""A text or a conversation that a model goes on with, message by message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mistral_tok.chat.events import CallResult, Event, Finish
from mistral_tok.errors import MistralTokError
from mistral_tok.pipelines.answer import Answer, PlainText
from mistral_tok.pipelines.prompts import Message, Prompt, Prompts, plain_messages
from mistral_tok.pipelines.toolbox import Toolbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a call asks for beside the options of generation."""

    toolbox: Toolbox
    run_tools: bool
    max_rounds: int
    positions: int
    """Of the model; a prompt that calls and results have made longer gets no answer."""
    continue_final_message: bool | None
    stop_strings: tuple[str, ...]
    template_options: Mapping[str, Any]


class Talk:
    """What was given, and what was said since; well-formed at any time.

    Push the ids of the answer; if it `has_calls_to_run`, `run_calls`, and do the same with the next answer.
    """

    def __init__(self, given: Any, prompts: Prompts, wishes: Wishes, place: str) -> None:
        self._prompts = prompts
        self._wishes = wishes
        self._given = given
        self._messages = None if isinstance(given, str) else plain_messages(given, place)
        self._spoken: list[Message] = [] if self._messages is None else list(given)
        self._continued: Message | None = None
        self._place = place
        self._rounds = 0
        self.answer, self.prompt = self._begun()

    def _begun(self) -> tuple[Answer, Prompt]:
        """A new answer, and its prompt; refuses what cannot be encoded."""
        prompts, wishes = self._prompts, self._wishes
        if self._messages is None:
            prompt = prompts.text(self._given, self._place)
            plain = PlainText(prompts.tokenizer)
            return Answer(plain, prompt, eos_id=None, stop_strings=wishes.stop_strings), prompt
        go_on = wishes.continue_final_message if self._rounds == 0 else False
        if go_on is None:
            go_on = self._messages[-1].get("role") == "assistant"
        messages, self._continued = self._messages, None
        if go_on:
            self._continued = messages[-1]
            if not (messages[-1].get("content") or messages[-1].get("tool_calls")):
                messages, go_on = messages[:-1], False  # of which nothing is there yet
        prompt = prompts.chat(messages, wishes.toolbox.given, go_on, wishes.template_options)
        answer = Answer(
            prompts.parser(),
            prompt,
            eos_id=prompts.tokenizer.eos_id,
            stop_strings=wishes.stop_strings,
            toolbox=wishes.toolbox,
        )
        return answer, prompt

    def has_calls_to_run(self) -> bool:
        """Whether the answer asks for functions that are to be run, and are there."""
        wishes, answer = self._wishes, self.answer
        wanted = wishes.run_tools and self._rounds < wishes.max_rounds
        called = any(isinstance(event, Finish) and event.reason == "tool_calls" for event in answer.events[-1:])
        return wanted and called and wishes.toolbox.can_answer(answer.calls) and self._can_be_told()

    def _can_be_told(self) -> bool:
        """Whether the answer and results can be written for the model; it may say what no layout has, an odd name."""
        results = [_tool_message(CallResult(index=0, name=c.name, id=c.id, content="")) for c in self.answer.calls]
        try:
            self._prompts.chat(
                plain_messages([*self.messages, *results], "$"),
                self._wishes.toolbox.given,
                False,
                self._wishes.template_options,
            )
        except MistralTokError:
            return False
        return True

    def run_calls(self) -> Iterator[Event]:
        """Run the functions that the answer calls, tell the model, and begin its next answer.

        Where the results take more positions than the model has, that answer is done, and says nothing.
        """
        results = []
        for call in self.answer.calls:
            result = self._wishes.toolbox.run(call)
            results.append(result)
            yield result
        self._spoken = [*self.messages, *map(_tool_message, results)]
        self._messages = plain_messages(self._spoken, "$")
        self._rounds += 1
        self.answer, self.prompt = self._begun()
        if len(self.prompt.ids) > self._wishes.positions:
            yield from self.answer.give_up()

    @property
    def messages(self) -> list[Any]:
        """The messages that were given, as they are, and those that came since."""
        if not self.answer.events or not self.answer.ids:
            return list(self._spoken)
        message = self.answer.message(self._continued)
        return [*(self._spoken if self._continued is None else self._spoken[:-1]), message]

    def generated_text(self, full: bool) -> Any:
        """The whole text or conversation, or only the text of the last answer."""
        if not full:
            return self.answer.text
        return self._given + self.answer.text if self._messages is None else self.messages


def _tool_message(result: CallResult) -> Message:
    return {"role": "tool", "name": result.name, "tool_call_id": result.id, "content": result.content}
