"""What the models return: read a field by name, or by index among those that are not None."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from .cache import Cache


@dataclass
class Output:
    """Base of all outputs: `out.logits`, `out["logits"]`, `out[0]`, `out[:2]` and `out.to_tuple()`."""

    def to_tuple(self) -> tuple[Any, ...]:
        """All fields that are not None, in order."""
        return tuple(value for value in (getattr(self, f.name) for f in fields(self)) if value is not None)

    def keys(self) -> tuple[str, ...]:
        """Names of the fields that are not None, in order."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) is not None)

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            if key not in self.keys():
                raise KeyError(f"{key}; this output has {', '.join(self.keys())}")
            return getattr(self, key)
        return self.to_tuple()[key]


@dataclass
class ModelOutput(Output):
    """`last_hidden_state` (batch, length, hidden), after the final norm.

    `hidden_states`: the embeddings, then the output of every layer, the last one after the norm. `attentions`: per
    layer (batch, heads, queries, keys), from the eager backend only.
    """

    last_hidden_state: Tensor
    past_key_values: Cache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class HeadOutput(Output):
    """`logits` of the head, and the mean `loss` where labels were given."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Cache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class SpanOutput(Output):
    """`start_logits` and `end_logits` (batch, length) of an answer's span, and the mean `loss` where it was given."""

    loss: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
