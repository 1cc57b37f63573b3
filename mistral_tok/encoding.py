"""BatchEncoding: what a batch of texts became, by name, with the way back to characters."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from mistral_tok.batch import Rows
    from mistral_tok.tokenizer import Tokenizer


class CharSpan(NamedTuple):
    """Characters from `start` up to `end`."""

    start: int
    end: int


class Origin(NamedTuple):
    """The texts of a batch and which part of them each row shows.

    `splits` are the ends of each text's ids in the flat array that `rows` cut, `before` the padding in front of each
    row.
    """

    tokenizer: Tokenizer
    texts: Sequence[str]
    rows: Rows
    splits: np.ndarray
    before: Sequence[int]

    def spans(self, row: int) -> tuple[int, np.ndarray]:
        """The position of a row's first id of text, and the characters of each: int32 (ids, 2)."""
        sample = int(self.rows.samples[row])
        start, stop = (int(bound[row] - self.splits[sample]) for bound in (self.rows.starts, self.rows.stops))
        errors: Any = "strict" if self.tokenizer.family == "sentencepiece" else "replace"
        offsets = self.tokenizer.encode_with_offsets(self.texts[sample], errors=errors).offsets
        return self.before[row] + (self.rows.head is not None), offsets[start:stop]


class BatchEncoding(UserDict[str, Any]):
    """A mapping of model inputs whose values can also be read as attributes.

    Made by a tokenizer. Lists, numpy arrays or torch tensors by name: `input_ids`, `attention_mask` … What it
    remembers of the texts serves `char_to_token` and `token_to_chars`, and is not pickled.
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
        *,
        tokenizer: Tokenizer | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.data = dict(data or {})
        self._tokenizer, self._origin = tokenizer, origin
        if tensor_type is not None:
            self.convert_to_tensors(tensor_type, prepend_batch_axis)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return {name: value[key] for name, value in self.data.items()}
        if isinstance(key, int):
            raise KeyError(f"{key}: rows have no objects of their own here; use a name, or a slice for some rows.")
        return self.data[key]

    def __getattr__(self, name: str) -> Any:
        data = self.__dict__.get("data", {})
        if name in data:
            return data[name]
        raise AttributeError(f"BatchEncoding has no {name!r}; it holds {list(data)}.")

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.data, "_tokenizer": None, "_origin": None}

    def __copy__(self) -> BatchEncoding:
        return BatchEncoding(self.data, tokenizer=self._tokenizer, origin=self._origin)

    copy = __copy__

    def to(self, device: Any, *, non_blocking: bool = False) -> BatchEncoding:
        """Move all torch tensors to a device, in place; other values stay as they are."""
        for name, value in self.data.items():
            if hasattr(value, "to"):
                self.data[name] = value.to(device=device, non_blocking=non_blocking)
        return self

    def convert_to_tensors(self, tensor_type: str | None = None, prepend_batch_axis: bool = False) -> BatchEncoding:
        """Make every value a numpy array (`np`) or torch tensor (`pt`), in place, with a first axis added if asked for.

        Raises:
            ValueError: another type, or rows of different lengths.

        """
        kind = check_tensors(tensor_type)
        if kind is not None:
            for name, value in self.data.items():
                self.data[name] = as_tensor(name, [value] if prepend_batch_axis else value, kind)
        return self

    def to_transformers(self) -> Any:
        """The same data as transformers' own BatchEncoding; needs transformers."""
        import transformers

        return transformers.BatchEncoding(dict(self.data))

    # The way back to tokens and characters.

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of one row, padding included."""
        if self._tokenizer is None:
            raise ValueError("This BatchEncoding does not know its tokenizer (it was pickled or made by hand).")
        ids = self.data["input_ids"]
        row = ids[batch_index] if len(ids) and hasattr(ids[0], "__len__") else ids
        return [self._tokenizer.piece(int(token)) for token in row]

    def char_to_token(self, batch_or_char_index: int, char_index: int | None = None) -> int | None:
        """The position in the row of the first token that has this character, None if no token of the row has it."""
        row, at = (0, batch_or_char_index) if char_index is None else (batch_or_char_index, char_index)
        first, spans = self._spans("char_to_token", row)
        found = np.flatnonzero((spans[:, 0] <= at) & (at < spans[:, 1]))
        return first + int(found[0]) if len(found) else None

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """The characters that a token stands for; None for special tokens and padding."""
        row, at = (0, batch_or_token_index) if token_index is None else (batch_or_token_index, token_index)
        first, spans = self._spans("token_to_chars", row)
        return CharSpan(*spans[at - first].tolist()) if 0 <= at - first < len(spans) else None

    def _spans(self, method: str, row: int) -> tuple[int, np.ndarray]:
        if self._origin is None:
            raise ValueError(f"{method} needs the texts: this BatchEncoding was made from ids, pickled, or by hand.")
        return self._origin.spans(row)

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """0 for each id of the text, None for special tokens and padding."""
        first, spans = self._spans("sequence_ids", batch_index)
        ids = self.data["input_ids"]
        width = len(ids[batch_index]) if len(ids) and hasattr(ids[0], "__len__") else len(ids)
        return [0 if 0 <= at - first < len(spans) else None for at in range(width)]

    is_fast = False
    """No part of it is made by transformers' Rust tokenizers, whose objects `encodings` would hold."""
    encodings = None

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """Not there: these vocabularies know no words; ValueError."""
        raise ValueError("word_ids: these vocabularies have no words. Use return_offsets_mapping or token_to_chars.")


def check_tensors(kind: object) -> str | None:
    """Return `np`, `pt` or None for what callers name a tensor type; ValueError for another."""
    value = getattr(kind, "value", kind)  # transformers' TensorType
    if value is None or value in ("np", "pt"):
        return value
    raise ValueError(f"return_tensors is {value!r}; expected 'np', 'pt' or None.")


def as_tensor(name: str, value: Any, kind: str) -> Any:
    """A value as numpy array or torch tensor, numbers and rows of them as int64 unless they are arrays already.

    Raises:
        ValueError: rows differ in length.

    """
    if hasattr(value, "detach"):  # a torch tensor
        return value if kind == "pt" else value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype == object:
        raise ValueError(f"{name} has rows of different lengths; pass padding=True (and truncation=True) for tensors.")
    if array.size == 0 and not isinstance(value, np.ndarray):
        array = array.astype(np.int64)
    return array if kind == "np" else torch_tensor(array)


def torch_tensor(array: np.ndarray) -> Any:
    """An array as torch tensor, sharing its memory; ImportError with the remedy where torch is missing."""
    try:
        import torch
    except ImportError:
        raise ImportError('return_tensors="pt" needs torch: pip install "mistral-tok[model]".') from None
    return torch.from_numpy(np.ascontiguousarray(array))
