"""Checks of what callers pass as text, and what becomes of surrogates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeVar

T = TypeVar("T")
Errors = Literal["strict", "replace"]


def check_text(text: object, place: str = "text") -> str:
    """Return `text` as a plain str if it is one, of a derived class or not; TypeError names the place otherwise."""
    if not isinstance(text, str):
        raise TypeError(f"{place} is of type {type(text).__name__}; expected str.")
    return text if type(text) is str else str.__str__(text)


def check_rows(rows: Iterable[T], place: str) -> Iterable[T]:
    """Return what holds many texts or rows; TypeError names the place for a single text or what holds nothing."""
    if isinstance(rows, (str, bytes, bytearray)) or not isinstance(rows, Iterable):
        raise TypeError(f"{place} is of type {type(rows).__name__}; expected a sequence.")
    return rows


def is_strict(errors: str) -> bool:
    """Tell which of the two policies `errors` is; ValueError for anything else."""
    if errors not in ("strict", "replace"):
        raise ValueError(f"errors is {errors!r}; expected 'strict' or 'replace'.")
    return errors == "strict"


def mend(text: object, errors: str, cause: Exception) -> str:
    """Return as plain text what the core refused with `cause`, or raise for the caller what is wrong with it."""
    checked = check_text(text)
    strict = is_strict(errors)
    mended = mend_unicode(checked, errors)
    if strict and type(text) is str:
        raise cause
    return mended  # perhaps the same: the core does not take a class derived from str


def mend_unicode(text: str, errors: str, place: str = "text") -> str:
    """Return text without surrogates: the same, or under `"replace"` as `replace_surrogates` gives it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        if is_strict(errors):
            raise lone_surrogate(text, place) from None
        return replace_surrogates(text)
    return text


def lone_surrogate(text: str, place: str = "text") -> ValueError:
    """Make the error for a text that is not Unicode, naming where."""
    at = next((i for i, c in enumerate(text) if "\ud800" <= c <= "\udfff"), 0)
    return ValueError(
        f"{place}[{at}] is U+{ord(text[at]):04X}, a surrogate and no character; "
        "pass errors='replace' to encode U+FFFD instead."
    )


def replace_surrogates(text: str) -> str:
    r"""Join surrogate pairs to their character and put U+FFFD for lone surrogates.

    >>> replace_surrogates("a\ud83d\ude00b\ud800")
    'a😀b�'
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def surrogate_positions(text: str) -> list[int]:
    """Return, for each character of `replace_surrogates(text)` and its end, where it starts in `text`."""
    starts, i = [], 0
    while i < len(text):
        starts.append(i)
        pair = "\ud800" <= text[i] <= "\udbff" and i + 1 < len(text) and "\udc00" <= text[i + 1] <= "\udfff"
        i += 2 if pair else 1
    return [*starts, len(text)]
