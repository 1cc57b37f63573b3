"""What reading a model's output needs of a tokenizer."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, Protocol

from mistral_tok.chat.formats import FORMATS, Format
from mistral_tok.errors import TokenizerException

_TELLING = (("[MODEL_SETTINGS]", "v15"), ("[ARGS]", "v13"), ("[SYSTEM_PROMPT]", "v7"), ("[TOOL_CALLS]", "v3"))


class Stream(Protocol):
    """Ids → text, as `Tokenizer.stream()` gives it."""

    def push(self, ids: Any, /) -> str:
        """The text that is now complete."""

    def settle(self) -> str:
        """What was held back, although more may follow."""

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


def plain_ids(ids: int | Iterable[int]) -> list[int]:
    """Ids as Python ints; arrays and tensors through their `tolist`."""
    if isinstance(ids, list) and all(type(id) is int for id in ids):
        return ids
    if hasattr(ids, "tolist"):
        ids = ids.tolist()
    if isinstance(ids, Iterable):
        return [operator.index(id) for id in ids]
    return [operator.index(ids)]


def format_of(tokenizer: Decoder, version: str | None) -> Format:
    """The format of a version; where the version is unknown, what the control tokens tell of it."""
    version = tokenizer.version if version is None else version
    if not version:
        names = tokenizer.special_names
        version = next((v for name, v in _TELLING if name in names), "v1")
    if version not in FORMATS:
        raise TokenizerException(f"There is no tokenizer version {version!r}; there are {', '.join(FORMATS)}.")
    return FORMATS[version]
