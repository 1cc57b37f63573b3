"""Work on the parts of a batch in several threads; the work itself releases the interpreter lock."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

CHUNK = 1 << 17
"""Characters in a part: enough that handing it over costs nothing, few enough that threads end together."""


def in_chunks(texts: Sequence[str], threads: int | None, work: Callable[[int, int], T]) -> list[T]:
    """Return the results of `work(start, stop)` over consecutive parts of `texts`, in order.

    `threads`: None takes as many as there are processors. Small batches stay in the calling thread.
    """
    check_threads(threads)
    return share(_bounds(texts), threads or os.cpu_count() or 1, work)


def check_threads(threads: int | None) -> None:
    """Refuse what is no number of threads."""
    if threads is not None and (not isinstance(threads, int) or isinstance(threads, bool) or threads < 1):
        raise ValueError(f"threads is {threads!r}; expected None or a number from 1 on.")


def share(bounds: list[tuple[int, int]], threads: int, work: Callable[[int, int], T]) -> list[T]:
    """Run `work` for all bounds in this thread and others, each taking the next part.

    An error ends all, and the one of the first part that has one is raised.

    Plain threads instead of an executor: it would be imported here, and a process forked at that moment could never
    import it again.
    """
    results: dict[int, T] = {}
    errors: dict[int, BaseException] = {}
    waiting = list(enumerate(bounds))[::-1]

    def take() -> None:
        while not errors:
            try:
                i, bound = waiting.pop()
            except IndexError:
                return
            try:
                results[i] = work(*bound)
            except BaseException as error:
                errors[i] = error

    others = [threading.Thread(target=take, daemon=True) for _ in range(min(threads, len(bounds)) - 1)]
    for thread in others:
        thread.start()
    take()
    for thread in others:
        thread.join()
    if errors:
        raise errors[min(errors)]
    return [results[i] for i in range(len(bounds))]


def _bounds(texts: Sequence[str]) -> list[tuple[int, int]]:
    bounds, start, size = [], 0, 0
    for i, text in enumerate(texts):
        size += len(text)
        if size >= CHUNK:
            bounds.append((start, i + 1))
            start, size = i + 1, 0
    if start < len(texts) or not bounds:
        bounds.append((start, len(texts)))
    return bounds
