"""What callers of the Hugging Face interface ask of a batch: options checked and brought into one form."""

from __future__ import annotations

import logging
import operator
from collections.abc import Mapping
from typing import Any, NamedTuple

from mistral_tok.batch import Side, check_side

UNBOUNDED = int(1e30)
"""`model_max_length` where nothing is known about the model: the Hugging Face libraries' number for it."""

_LARGE = int(1e20)
_PADDING = ("longest", "max_length", "do_not_pad")
_log = logging.getLogger(__name__)


class Shape(NamedTuple):
    """The shape of a batch: padding is one of `longest`, `max_length`, `do_not_pad`; `cut` says whether to truncate."""

    padding: str
    cut: bool
    max_length: int | None
    multiple: int | None
    side: Side

    @property
    def pads(self) -> bool:
        """Whether rows are padded at all."""
        return self.padding != "do_not_pad"


def refuse_unknown(place: str, given: Mapping[str, Any], hint: str = "") -> None:
    """Raise ValueError naming class, method and arguments if there are arguments that the method does not have."""
    if given:
        raise ValueError(f"Kwargs {list(given)} are not supported by `{place}`.{hint}")


def refuse_pairs(place: str, **given: Any) -> None:
    """Raise ValueError for arguments that only pairs of texts would use."""
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"`{place}` does not support `{name}`: there are no pairs of texts. Leave it out.")


def shape_of(
    place: str,
    model_max_length: int,
    padding: Any,
    truncation: Any,
    max_length: int | None,
    pad_to_multiple_of: int | None,
    side: str,
) -> Shape:
    """Bring the options about length into one form.

    As in the Hugging Face libraries, `max_length` alone switches truncation on, and without any length known neither
    truncation nor padding to the maximum happens (a warning is logged).

    Raises:
        ValueError: an option has a value that is not known, or the options contradict each other.

    """
    padding, truncation = getattr(padding, "value", padding), getattr(truncation, "value", truncation)
    how = _padding(place, padding)
    cut = _truncates(place, truncation)
    max_length = _number(place, "max_length", max_length)
    multiple = _number(place, "pad_to_multiple_of", pad_to_multiple_of)
    if max_length is not None and padding is False and truncation is None:
        cut = True
    if max_length is None and (cut or how == "max_length"):
        if model_max_length <= _LARGE:
            max_length = model_max_length
        else:
            _log.warning(
                "%s: no max_length is given and model_max_length is not set; nothing is cut or padded to it.", place
            )
            cut, how = False, "do_not_pad" if how == "max_length" else how
    if cut and how != "do_not_pad" and multiple is not None and max_length is not None and max_length % multiple:
        raise ValueError(f"`{place}`: max_length {max_length} is not a multiple of pad_to_multiple_of {multiple}.")
    return Shape(how, cut, max_length, multiple, check_side(side, "padding_side"))


def _padding(place: str, padding: Any) -> str:
    if padding is True:
        return "longest"
    if padding is False:
        return "do_not_pad"
    if padding not in _PADDING:
        raise ValueError(f"`{place}`: padding is {padding!r}; expected True, False or one of {_PADDING}.")
    return str(padding)


def _truncates(place: str, truncation: Any) -> bool:
    if truncation is True or truncation == "longest_first":
        return True
    if truncation is None or truncation is False or truncation == "do_not_truncate":
        return False
    if truncation in ("only_first", "only_second"):
        raise ValueError(f"`{place}` does not support truncation={truncation!r}: there are no pairs. Use True.")
    raise ValueError(f"`{place}`: truncation is {truncation!r}; expected True, False or 'longest_first'.")


def _number(place: str, name: str, value: Any) -> int | None:
    if value is None:
        return None
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"`{place}`: {name} is {value!r}; expected a number.") from None
    if number < 1:
        raise ValueError(f"`{place}`: {name} is {number}; expected 1 or more.")
    return number
