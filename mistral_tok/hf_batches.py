"""Texts and ids → batches: the part of the Hugging Face interface that shapes model inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mistral_tok.batch import Rows, Side, check_side, ragged, width_of
from mistral_tok.encoding import BatchEncoding, Origin, check_tensors, torch_tensor
from mistral_tok.hf_added import Added
from mistral_tok.hf_options import Shape, refuse_pairs, refuse_unknown, shape_of
from mistral_tok.hf_pad import pad_features
from mistral_tok.hf_tokens import is_number

_HINTS = {
    "is_split_into_words": " Texts are split by the vocabulary itself.",
    "return_token_type_ids": " There is one kind of text only.",
    "split_special_tokens": " Control tokens never come from text; put their ids into the list yourself.",
}


class Wanted(NamedTuple):
    """What a batch is to hold beside the ids."""

    attention_mask: bool = True
    special_tokens_mask: bool = False
    offsets: bool = False
    length: bool = False
    overflow: bool = False


class Batches(Added):
    """Tokens with the methods that make model inputs."""

    padding_side: str = "left"
    truncation_side: str = "right"
    model_input_names: Sequence[str] = ("input_ids", "attention_mask")

    def __call__(
        self,
        text: Any = None,
        text_pair: None = None,
        text_target: None = None,
        text_pair_target: None = None,
        add_special_tokens: bool = True,
        padding: Any = False,
        truncation: Any = None,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: Any = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        *,
        return_offsets_mapping: bool = False,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Turn a text, ids, or a list of either into model inputs.

        BOS is put in front with `add_special_tokens` (in finetuning mode also EOS behind), and truncation keeps it.
        A list gives one row for each item, or with `return_overflowing_tokens` one for each window of `max_length`
        ids, `overflow_to_sample_mapping` saying which item it is from; neighbouring windows share `stride` ids. A
        single text is cut, and `overflowing_tokens` and `num_truncated_tokens` tell what was lost. `offset_mapping`
        holds for each id the characters that it stands for, (0, 0) for special tokens and padding.

        Raises:
            ValueError: an argument is not supported, has an unknown value, or tensors would need padding.

        """
        place = self._place("__call__")
        if not kwargs.get("return_token_type_ids"):  # there are none, which is what loops ask for that pass False
            kwargs.pop("return_token_type_ids", None)
        if kwargs.get("split_special_tokens") is not False:  # control tokens never come from text
            kwargs.pop("split_special_tokens", None)
        refuse_unknown(place, kwargs, _hint(kwargs))
        text = _listed(text)
        refuse_pairs(place, text_pair=text_pair, text_target=text_target, text_pair_target=text_pair_target)
        shape = self._shape(place, padding, truncation, max_length, pad_to_multiple_of, padding_side)
        wanted = Wanted(
            self._wants_mask(return_attention_mask), return_special_tokens_mask, return_offsets_mapping,
            return_length, return_overflowing_tokens,
        )  # fmt: skip
        single = isinstance(text, str) or (isinstance(text, list | tuple) and len(text) > 0 and is_number(text[0]))
        items = [text] if single else text
        if not isinstance(items, list | tuple):
            raise ValueError(
                f"`{place}`: text is of type {type(text).__name__}; expected a str, ids, or a list of either."
            )
        return self._encoded(place, items, single, add_special_tokens, shape, stride, return_tensors, wanted)

    def encode_plus(self, text: Any, text_pair: None = None, **options: Any) -> BatchEncoding:
        """The same as calling the tokenizer with one text."""
        return self(text, text_pair, **options)

    def batch_encode_plus(self, batch_text_or_text_pairs: Any, **options: Any) -> BatchEncoding:
        """The same as calling the tokenizer with a list of texts."""
        return self(batch_text_or_text_pairs, **options)

    def encode(
        self,
        text: Any,
        text_pair: None = None,
        add_special_tokens: bool = True,
        padding: Any = False,
        truncation: Any = None,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: Any = None,
        verbose: bool = True,
        **kwargs: Any,
    ) -> Any:
        """The ids of a text: a list of int, or with `return_tensors` an array or tensor of shape (1, ids)."""
        place = self._place("encode")
        refuse_unknown(place, kwargs)
        refuse_pairs(place, text_pair=text_pair)
        if not isinstance(text, str | list | tuple) or (not text and not isinstance(text, str)):
            raise ValueError(f"`{place}`: input {text!r:.80} is not valid; expected a str, or a list of ids.")
        plain = padding is False and truncation is None and max_length is None and padding_side is None
        if plain and isinstance(text, str) and return_tensors is None:
            bos, eos = self._ends if add_special_tokens else (None, None)
            return self._core.encode(text, bos=bos is not None, eos=eos is not None, errors=self._errors)
        return self(
            text, add_special_tokens=add_special_tokens, padding=padding, truncation=truncation, max_length=max_length,
            stride=stride, pad_to_multiple_of=pad_to_multiple_of, padding_side=padding_side,
            return_tensors=return_tensors, return_attention_mask=False,
        )["input_ids"]  # fmt: skip

    def prepare_for_model(
        self,
        ids: Sequence[int],
        pair_ids: None = None,
        add_special_tokens: bool = True,
        padding: Any = False,
        truncation: Any = None,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: Any = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        prepend_batch_axis: bool = False,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Model inputs from the ids of one text; `prepend_batch_axis` makes tensors of a batch of one."""
        place = self._place("prepare_for_model")
        refuse_unknown(place, kwargs)
        refuse_pairs(place, pair_ids=pair_ids)
        shape = self._shape(place, padding, truncation, max_length, pad_to_multiple_of, padding_side)
        wanted = Wanted(
            self._wants_mask(return_attention_mask), return_special_tokens_mask, False, return_length,
            return_overflowing_tokens,
        )  # fmt: skip
        kind = check_tensors(return_tensors)
        done = self._encoded(place, [list(ids)], True, add_special_tokens, shape, stride, kind, wanted)
        if kind is not None and not prepend_batch_axis:
            done.data = {name: value[0] for name, value in done.data.items()}
        return done

    def truncate_sequences(
        self,
        ids: list[int],
        pair_ids: None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: Any = "longest_first",
        stride: int = 0,
        **kwargs: Any,
    ) -> tuple[list[int], None, list[int]]:
        """Cut ids on `truncation_side`: what stays, None, and what was cut with `stride` ids of what stays."""
        place = self._place("truncate_sequences")
        refuse_unknown(place, kwargs)
        refuse_pairs(place, pair_ids=pair_ids or None)
        shape = shape_of(place, 1, False, truncation_strategy, None, None, self.padding_side)
        if num_tokens_to_remove <= 0 or not shape.cut:
            return ids, None, []
        window = min(len(ids), stride + num_tokens_to_remove)
        if check_side(self.truncation_side, "truncation_side") == "left":
            return ids[num_tokens_to_remove:], None, ids[:window]
        return ids[: max(0, len(ids) - num_tokens_to_remove)], None, ids[len(ids) - window :]

    def pad(
        self,
        encoded_inputs: Any,
        padding: Any = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: Any = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad one encoded text or a batch: a mapping of lists, arrays or tensors, or a list of such mappings.

        Ids are padded with `pad_token_id`, masks with 0 (the mask of special tokens with 1), offsets with (0, 0) and
        `labels` of the same length as the ids with -100; other values stay as they are. Tensors come back as such.

        Raises:
            ValueError: there are no `input_ids`, or values of a batch differ in number.

        """
        shape = shape_of(
            self._place("pad"), self.model_max_length, padding, False, max_length, pad_to_multiple_of,
            self.padding_side if padding_side is None else padding_side,
        )  # fmt: skip
        mask = self._wants_mask(return_attention_mask)
        return pad_features(encoded_inputs, shape, self.pad_token_id, mask, check_tensors(return_tensors))

    # How it is done.

    def _wants_mask(self, asked: bool | None) -> bool:
        return "attention_mask" in self.model_input_names if asked is None else asked

    def _shape(self, place: str, padding: Any, truncation: Any, max_length: Any, multiple: Any, side: Any) -> Shape:
        side = self.padding_side if side is None else side
        return shape_of(place, self.model_max_length, padding, truncation, max_length, multiple, side)

    def _encoded(
        self,
        place: str,
        items: Sequence[Any],
        single: bool,
        special: bool,
        shape: Shape,
        stride: int,
        tensors: Any,
        wanted: Wanted,
    ) -> BatchEncoding:
        """Encode texts or ids and bring them into shape."""
        kind = check_tensors(tensors)
        flat, splits, offsets = self._flat(place, items, wanted.offsets)
        head, tail = self._ends if special else (None, None)
        rows = whole = Rows.of(splits, head, tail)
        side: Side = check_side(self.truncation_side, "truncation_side")
        data: dict[str, Any] = {}
        if shape.cut and shape.max_length is not None:
            if wanted.overflow and not single:
                rows = whole.windows(shape.max_length, side, stride)
            else:
                rows = whole.truncated(shape.max_length, side)
        if wanted.overflow and single and kind is None and len(whole) and whole.lengths[0] > rows.lengths[0]:
            lost = int(whole.lengths[0] - rows.lengths[0])
            data["overflowing_tokens"] = self.truncate_sequences(flat.tolist(), None, lost, stride=stride)[2]
            data["num_truncated_tokens"] = lost
        columns = {"input_ids": (flat, self.pad_token_id, (head, tail))}
        if wanted.offsets:
            columns["offset_mapping"] = (offsets, 0, (0, 0))
        data |= laid_out(columns, rows, shape, kind, wanted)
        if wanted.overflow and not single:
            data["overflow_to_sample_mapping"] = rows.samples if kind else rows.samples.tolist()
        if kind == "pt":
            data = {name: torch_tensor(value) for name, value in data.items()}
        if single and kind is None:
            data = {name: value[0] if name in _BY_ROW else value for name, value in data.items()}
            if wanted.length:
                data["length"] = len(data["input_ids"])
        texts = items if all(isinstance(item, str) for item in items) else None
        return self._traced(data, texts, rows, splits, shape)

    def _traced(self, data: dict[str, Any], texts: Any, rows: Rows, splits: np.ndarray, shape: Shape) -> BatchEncoding:
        """A batch that knows the way back to its texts."""
        if texts is None:
            return BatchEncoding(data, tokenizer=self._core)
        lengths = rows.lengths
        before = np.zeros_like(lengths)
        if shape.pads and shape.side == "left":
            before = np.maximum(
                width_of(lengths, shape.padding == "longest", shape.max_length, shape.multiple) - lengths, 0
            )
        return BatchEncoding(
            data, tokenizer=self._core, origin=Origin(self._core, texts, rows, splits, before.tolist())
        )

    def _flat(self, place: str, items: Sequence[Any], offsets: bool) -> tuple[np.ndarray, np.ndarray, Any]:
        """The ids of all items in one array, the splits between them, and the characters of each id if asked for."""
        texts = sum(isinstance(item, str) for item in items)
        if offsets and texts < len(items):
            raise ValueError(f"`{place}`: return_offsets_mapping needs texts, not ids.")
        if texts == len(items):
            flat, splits = self._core.encode_ragged(items, errors=self._errors)
            found = None
            if offsets:
                spans = [self._core.encode_with_offsets(text, errors=self._errors).offsets for text in items]
                found = np.concatenate([np.zeros((0, 2), np.int32), *spans])
            return flat, splits, found
        rows = [self._core.encode(item, errors=self._errors) if isinstance(item, str) else item for item in items]
        for i, row in enumerate(rows):
            if not isinstance(row, list | tuple) or (not row and not isinstance(items[i], str)):
                raise ValueError(f"`{place}`: item {i}, {row!r:.60}, is not valid; expected a str, or a list of ids.")
            if row and isinstance(row[0], str):
                raise ValueError(
                    f"`{place}`: item {i}, {row!r:.60}, holds texts, and ids are numbers of type int; pairs of texts "
                    "and texts split into words are not supported."
                )
        try:
            return *ragged(rows), None
        except (TypeError, ValueError) as error:
            raise ValueError(f"`{place}`: {error}") from None


def _hint(given: Mapping[str, Any]) -> str:
    return next((_HINTS[name] for name in given if name in _HINTS), "")


def _listed(text: Any) -> Any:
    """Arrays, tensors, columns of tables and generators as lists; anything else as it is."""
    if isinstance(text, str | list | tuple):
        return text
    if hasattr(text, "tolist"):
        return text.tolist()
    return list(text) if isinstance(text, Sequence | Iterator) and not isinstance(text, bytes | bytearray) else text


_BY_ROW = ("input_ids", "attention_mask", "special_tokens_mask", "offset_mapping", "length")


def laid_out(
    columns: dict[str, tuple[np.ndarray, int, tuple[Any, Any]]],
    rows: Rows,
    shape: Shape,
    kind: str | None,
    wanted: Wanted,
) -> dict[str, Any]:
    """Rows of flat arrays, padded: arrays if `kind` names tensors, else lists.

    `columns` are by name the flat array, the value to pad with, and the values for head and tail.

    Raises:
        ValueError: tensors are wanted of rows that differ in length.

    """
    lengths = rows.lengths
    width = width_of(lengths, shape.padding != "max_length", shape.max_length, shape.multiple if shape.pads else None)
    if kind is None:
        data = _as_lists(columns, rows, shape, width, wanted)
    else:
        uneven = lengths.max(initial=0) > width if shape.pads else lengths.min(initial=width) < width
        if uneven:
            raise ValueError("Rows differ in length; pass padding=True (and truncation=True) to get tensors.")
        data = _as_arrays(columns, rows, shape, width, wanted)
    if wanted.length:
        data["length"] = lengths if kind else lengths.tolist()
    return data


def _as_arrays(columns: Any, rows: Rows, shape: Shape, width: int, wanted: Wanted) -> dict[str, Any]:
    taken = rows.places(width, shape.side)
    data = {name: rows.array(flat, taken, shape.side, pad, ends) for name, (flat, pad, ends) in columns.items()}
    if wanted.attention_mask:
        data["attention_mask"] = taken.astype(np.int64)
    if wanted.special_tokens_mask:
        text = np.zeros(int(rows.stops.max(initial=0)), np.int8)
        data["special_tokens_mask"] = rows.array(text, taken, shape.side, 1, (1, 1))
    return data


def _as_lists(columns: Any, rows: Rows, shape: Shape, width: int, wanted: Wanted) -> dict[str, Any]:
    listed: dict[str, tuple[list[list[Any]], Any]] = {}
    for name, (flat, pad, ends) in columns.items():
        if flat.ndim == 2:
            spans = [[tuple(span) for span in row] for row in rows.lists(flat, *[(pad, pad)] * 2)]
            listed[name] = spans, (pad, pad)
        else:
            listed[name] = rows.lists(flat, *ends), pad
    if wanted.special_tokens_mask:
        first, last = [1] * (rows.head is not None), [1] * (rows.tail is not None)
        text = [[0] * n for n in (rows.stops - rows.starts).tolist()]
        listed["special_tokens_mask"] = [[*first, *zeros, *last] for zeros in text], 1
    return padded_lists(listed, shape, width, wanted.attention_mask)


def padded_lists(
    columns: Mapping[str, tuple[list[list[Any]], Any]], shape: Shape, width: int, mask: bool
) -> dict[str, list[list[Any]]]:
    """Columns of rows as lists, `width` long if the shape pads; each comes with the value that it is padded with.

    `mask` adds an attention mask behind the first column.
    """
    first = next(iter(columns.values()))[0]
    if mask:
        columns = {**columns, "attention_mask": ([[1] * len(row) for row in first], 0)}
    if not shape.pads:
        return {name: found for name, (found, _) in columns.items()}
    gaps = [width - len(row) for row in first]
    data = {}
    for name, (found, pad) in columns.items():
        if shape.side == "left":
            data[name] = [[pad] * gap + row for gap, row in zip(gaps, found, strict=True)]
        else:
            data[name] = [row + [pad] * gap for gap, row in zip(gaps, found, strict=True)]
    return data
