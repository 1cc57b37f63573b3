"""Text that remembers, for each character, whether the template wrote it or which message it came from.

The template's own literals are `Traced` text of origin `TEMPLATE`; data is ordinary text. Operations keep origins
where they know how. One that does not know gives ordinary text, which counts as data: trust can be lost, never won.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, SupportsIndex

from mistral_tok.templates.errors import TemplateLimitError


class Origin(NamedTuple):
    """Where characters come from: the part `path` of message `message`, or of the request where that is None."""

    message: int | None
    path: str


class Run(NamedTuple):
    """`size` characters of one origin (None: data of an unknown place), which begin at character `own` of it.

    `generated` tells text between `{% generation %}` marks.
    """

    size: int
    origin: Origin | None
    own: int = 0
    generated: bool = False


RUNS = 1 << 16
"""Runs that one text may have."""

TEMPLATE = Origin(None, "template")
"""The origin of the template's own text; compared by identity."""


class Traced(str):
    """A text with the runs that it consists of, one behind the other; otherwise an ordinary `str`, equal to one."""

    __slots__ = ("runs",)
    runs: tuple[Run, ...]

    def __new__(cls, text: str, runs: tuple[Run, ...]) -> Traced:
        """Text that consists of `runs`, whose sizes are its length."""
        self = super().__new__(cls, text)
        self.runs = runs
        return self

    def __str__(self) -> str:
        return self

    def __add__(self, other: str) -> str:
        return added(self, other) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: str) -> str:
        return added(other, self) if isinstance(other, str) else NotImplemented

    def __mul__(self, times: SupportsIndex) -> str:
        if is_template(self):
            return literal(str.__mul__(self, times))
        return join([self] * min(int(times), RUNS + 1))

    __rmul__ = __mul__

    def __mod__(self, values: Any) -> str:
        given = list(values) if isinstance(values, tuple) else [values]
        parts = self.split("%s")
        if "%" in "".join(parts) or len(parts) != len(given) + 1 or isinstance(values, dict):
            return str.__mod__(self, values)
        filled = [text for pair in zip(parts, map(str, given), strict=False) for text in pair]
        return join([*filled, parts[-1]])

    def __getitem__(self, key: Any) -> str:
        if not isinstance(key, slice):
            at = range(len(self))[key]
            return cut(self, at, at + 1)
        start, stop, step = key.indices(len(self))
        return cut(self, start, stop) if step == 1 else super().__getitem__(key)

    def strip(self, chars: str | None = None) -> str:
        """As `str.strip`."""
        start = len(self) - len(super().lstrip(chars))
        return cut(self, start, max(start, len(super().rstrip(chars))))

    def lstrip(self, chars: str | None = None) -> str:
        """As `str.lstrip`."""
        return cut(self, len(self) - len(super().lstrip(chars)), len(self))

    def rstrip(self, chars: str | None = None) -> str:
        """As `str.rstrip`."""
        return cut(self, 0, len(super().rstrip(chars)))

    def removeprefix(self, prefix: str, /) -> str:
        """As `str.removeprefix`."""
        return cut(self, len(prefix) * self.startswith(prefix), len(self))

    def removesuffix(self, suffix: str, /) -> str:
        """As `str.removesuffix`."""
        return cut(self, 0, len(self) - len(suffix) * self.endswith(suffix))

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        """As `str.split`."""
        return self._found(super().split(sep, maxsplit))

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        """As `str.rsplit`."""
        return self._found(super().rsplit(sep, maxsplit))

    def splitlines(self, keepends: bool = False) -> list[str]:
        """As `str.splitlines`."""
        return self._found(super().splitlines(keepends))

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        """As `str.partition`."""
        return self._three(super().partition(sep))

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        """As `str.rpartition`."""
        return self._three(super().rpartition(sep))

    def join(self, parts: Iterable[str], /) -> str:
        """As `str.join`."""
        return join(_between(self, list(parts)))

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> str:
        """As `str.replace`."""
        return replace(self, old, new, int(count))

    def upper(self) -> str:
        """As `str.upper`."""
        return self._changed(super().upper())

    def lower(self) -> str:
        """As `str.lower`."""
        return self._changed(super().lower())

    def capitalize(self) -> str:
        """As `str.capitalize`."""
        return self._changed(super().capitalize())

    def title(self) -> str:
        """As `str.title`."""
        return self._changed(super().title())

    def _changed(self, text: str) -> str:
        return Traced(text, self.runs) if len(text) == len(self) else text

    def _found(self, parts: list[str]) -> list[str]:
        """The parts, which stand in this text in order, as cuts of it."""
        at, found = 0, []
        for part in parts:
            at = self.index(part, at)
            found.append(cut(self, at, at + len(part)))
            at += len(part)
        return found

    def _three(self, parts: tuple[str, str, str]) -> tuple[str, str, str]:
        a, b = len(parts[0]), len(parts[0]) + len(parts[1])
        return cut(self, 0, a), cut(self, a, b), cut(self, b, len(self))


def literal(text: str) -> Traced:
    """Text that the template wrote."""
    return Traced(text, (Run(len(text), TEMPLATE),) if text else ())


def runs_of(text: str) -> tuple[Run, ...]:
    """The runs of any text."""
    return text.runs if isinstance(text, Traced) else (Run(len(text), None),) if text else ()


def is_template(text: str) -> bool:
    """Whether the template wrote every character."""
    return all(run.origin is TEMPLATE for run in runs_of(text))


def cut(text: str, start: int, stop: int) -> str:
    """Characters `start:stop` of a text."""
    plain = str.__getitem__(text, slice(start, stop))
    runs, at = [], 0
    for run in runs_of(text):
        first, last = max(at, start), min(at + run.size, stop)
        if first < last:
            runs.append(Run(last - first, run.origin, run.own + first - at, run.generated))
        at += run.size
    return Traced(plain, tuple(runs))


def added(left: str, right: str) -> Traced:
    """`left + right`, of which at least one is traced."""
    return Traced(str.__add__(left, right), _glued(runs_of(left), runs_of(right)))


def join(parts: Iterable[str]) -> str:
    """Texts behind each other; an ordinary text if all of them are.

    Raises:
        TemplateLimitError: the text has more runs than are kept.

    """
    parts = list(parts)
    text = "".join(parts)
    if not any(isinstance(part, Traced) for part in parts):
        return text
    runs: list[Run] = []
    for part in parts:
        more = runs_of(part)
        if runs and more:
            more = (*_glued((runs.pop(),), more[:1]), *more[1:])
        runs += more
        if len(runs) > RUNS:
            raise _too_many()
    return Traced(text, tuple(runs))


def _glued(left: tuple[Run, ...], right: tuple[Run, ...]) -> tuple[Run, ...]:
    """Runs behind each other, the two that meet as one where both are of one kind: doubling a text keeps its runs."""
    if not left or not right:
        return left or right
    size, origin, own, generated = left[-1]
    more, other, beginning, also = right[0]
    if origin is other and generated == also and (origin is TEMPLATE or origin is None or own + size == beginning):
        return (*left[:-1], Run(size + more, origin, own, generated), *right[1:])
    if len(left) + len(right) > RUNS:
        raise _too_many()
    return left + right


def _too_many() -> TemplateLimitError:
    return TemplateLimitError(f"The template builds one text of more than {RUNS} parts.")


def _between(sep: str, parts: list[str]) -> list[str]:
    found: list[str] = []
    for part in parts:
        found += [sep, part] if found else [part]
    return found


def joined(sep: str, parts: list[str]) -> str:
    """`sep.join(parts)` that keeps origins also where `sep` is an ordinary text."""
    return join(_between(sep, parts))


def replace(text: str, old: str, new: str, count: int = -1) -> str:
    """`text.replace(old, new, count)`. What the template puts in place of data is data: users could ask for it."""
    if not isinstance(text, Traced) and not isinstance(new, Traced):
        return text.replace(old, new, count)
    if not old:
        return str.replace(text, old, new, count)
    if is_template(text) and is_template(new):
        return literal(str.replace(text, old, new, count))
    parts, at = [], 0
    while count != 0 and (found := text.find(old, at)) >= 0:
        gone = cut(text, found, found + len(old))
        parts += [cut(text, at, found), new if is_template(gone) or not is_template(new) else "".join(new)]
        at, count = found + len(old), count - 1
        if len(parts) > 2 * RUNS:
            raise TemplateLimitError(f"The template replaces more than {RUNS} places of one text.")
    return join([*parts, cut(text, at, len(text))])


def marked(text: str) -> str:
    """The text as one that the assistant generated."""
    return Traced(text, tuple(run._replace(generated=True) for run in runs_of(text)))
