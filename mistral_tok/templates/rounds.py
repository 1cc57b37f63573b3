"""`loop`: what jinja2 offers inside a loop, read directly where the loop runs over a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from jinja2.runtime import LoopContext, Undefined


class Rounds(LoopContext):
    """A loop over a list or tuple: every field is a look at the list, and nothing has to be read ahead."""

    def __init__(self, items: Sequence[Any], undefined: type[Undefined]) -> None:
        self._items, self._undefined = items, undefined
        self._length = len(items)
        self._recurse, self.depth0 = None, 0

    def __iter__(self) -> Iterator[tuple[Any, Rounds]]:  # type: ignore[override]
        for self.index0, item in enumerate(self._items):  # noqa: B020
            yield item, self

    @property
    def last(self) -> bool:
        """Whether this is the last round."""
        return self.index0 + 1 == self._length

    @property
    def previtem(self) -> Any:
        """The item of the round before."""
        return self._items[self.index0 - 1] if self.index0 else self._undefined("there is no previous item")

    @property
    def nextitem(self) -> Any:
        """The item of the next round."""
        at = self.index0 + 1
        return self._items[at] if at < len(self._items) else self._undefined("there is no next item")

    def __repr__(self) -> str:
        return f"<LoopContext {self.index}/{self.length}>"


def rounds(
    iterable: Iterable[Any], undefined: type[Undefined], recurse: Callable[..., str] | None = None, depth0: int = 0
) -> LoopContext:
    """The loop over an iterable, for code that jinja2's compiler wrote."""
    if recurse is None and isinstance(iterable, list | tuple):
        return Rounds(iterable, undefined)
    return LoopContext(iterable, undefined, recurse, depth0)
