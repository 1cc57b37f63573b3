"""What reading a model's output needs of a tokenizer."""

from __future__ import annotations

from typing import Any, Protocol


class Stream(Protocol):
    """Ids → text, as `Tokenizer.stream()` gives it."""

    def push(self, ids: Any, /) -> str:
        """The text that is now complete."""

    def finish(self) -> str:
        """The rest."""


class Decoder(Protocol):
    """What is needed of a tokenizer."""

    @property
    def version(self) -> str:
        """Tokenizer version, empty if unknown."""

    @property
    def vocab_size(self) -> int:
        """Number of ids."""

    @property
    def bos_id(self) -> int | None:
        """Id of `<s>`."""

    @property
    def eos_id(self) -> int | None:
        """Id of `</s>`."""

    @property
    def pad_id(self) -> int | None:
        """Id of the padding, if there is one."""

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that stand for no text."""

    @property
    def special_names(self) -> Any:
        """Names of the control ids, with their ids."""

    def piece(self, id: int, /) -> str:
        """The name of an id."""

    def stream(self) -> Stream:
        """A new stream."""
