"""Splitting by a regular expression that the compiled scanner does not know, with the `regex` package."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any, TypeAlias

import regex

from mistral_tok.errors import VocabularyError

Part: TypeAlias = "tuple[str, array[int]] | tuple[int, None]"  # array[int] exists at run time only from 3.12 on
Splitter = Callable[[str], Iterator[Part]]
Kept = Callable[[str], list[int]]


def make_splitter(name: str, pattern: str | None, user_defined: Mapping[str, int], drop: bool) -> Splitter:
    """Return a function that cuts a text into parts with the ends of their segments in UTF-8 bytes, and into bare ids.

    User-defined pieces come first, the longest at each place; `pattern` (None: no further cut) splits what is between
    them. What it does not match is a segment of its own, or is left out with `drop`.
    """
    words, marks = _compiled(name, pattern, user_defined)

    def segments(text: str) -> Iterator[str]:
        """The segments of a part, in order."""
        at = 0
        for match in words.finditer(text) if words is not None else ():
            if match.start() > at and not drop:
                yield text[at : match.start()]
            if match.end() > match.start():
                yield match.group()
            at = match.end()
        if at < len(text) and not (drop and words is not None):
            yield text[at:]

    def cut(text: str) -> Part:
        found = list(segments(text))
        return "".join(found), array("Q", accumulate(len(s) if s.isascii() else len(s.encode()) for s in found))

    def split(text: str) -> Iterator[Part]:
        """The parts of a text, in order."""
        at = 0
        for match in marks.finditer(text) if marks is not None else ():
            if match.start() > at:
                yield cut(text[at : match.start()])
            yield user_defined[match.group()], None
            at = match.end()
        if at < len(text):
            yield cut(text[at:])

    return split


def make_kept(name: str, pattern: str, user_defined: Mapping[str, int]) -> Kept:
    """Return a function that lists the places of those characters of a text which a dropping splitter leaves in it."""
    words, marks = _compiled(name, pattern, user_defined)

    def kept(text: str) -> list[int]:
        """The places that are kept, in order."""
        places: list[int] = []
        bounds = [match.span() for match in marks.finditer(text)] if marks is not None else []
        at = 0
        for start, end in [*bounds, (len(text), len(text))]:
            for match in words.finditer(text[at:start]) if words is not None else ():
                places.extend(range(at + match.start(), at + match.end()))
            places.extend(range(start, end))
            at = end
        return places

    return kept


def _compiled(name: str, pattern: str | None, user_defined: Mapping[str, int]) -> tuple[Any, Any]:
    """Return the pattern of the words, and the one of the user-defined pieces, the longest first; None where none."""
    try:
        words = regex.compile(pattern) if pattern is not None else None
    except regex.error as error:
        raise VocabularyError(f"{name}: the pattern that splits text is not understood: {error}.") from error
    longest_first = sorted(user_defined, key=len, reverse=True)
    return words, regex.compile("|".join(map(regex.escape, longest_first))) if user_defined else None
