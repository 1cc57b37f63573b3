"""What a call with `stream=True` gives: events as they come, and what they add up to."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Self

from mistral_tok.chat.events import Event

if TYPE_CHECKING:
    from mistral_tok.pipelines.talk import Talk


class EventStream(Iterator[Event]):
    """Iterates over the events of an answer. `close` it, or leave a `with`, to stop the model at any time.

    Events of each message of the model end with a Finish; with `run_tools`, results and further messages follow.
    """

    def __init__(self, events: Generator[Event, None, None], talk: Talk) -> None:
        self._events = events
        self._talk = talk

    def __next__(self) -> Event:
        return next(self._events)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop generating; what was said stays."""
        self._events.close()

    @property
    def generated_text(self) -> Any:
        """What the call without `stream` would have given, of what has been said so far: a text, or a conversation."""
        return self._talk.generated_text(full=True)
