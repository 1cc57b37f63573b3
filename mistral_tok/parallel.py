"""Work on the parts of a batch in several threads; the work itself releases the interpreter lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

CHUNK = 1 << 17
"""Characters in a part: enough that handing it over costs nothing, few enough that threads end together."""


def in_chunks(texts: Sequence[str], threads: int | None, work: Callable[[int, int], T]) -> list[T]:
    """Return the results of `work(start, stop)` over consecutive parts of `texts`, in order.

    `threads`: None takes as many as there are processors. Small batches stay in the calling thread.
    """
    if threads is not None and (not isinstance(threads, int) or isinstance(threads, bool) or threads < 1):
        raise ValueError(f"threads is {threads!r}; expected None or a number from 1 on.")
    bounds = _bounds(texts)
    wanted = min(threads or os.cpu_count() or 1, len(bounds))
    if wanted <= 1:
        return [work(start, stop) for start, stop in bounds]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(wanted) as pool:
        return list(pool.map(lambda bound: work(*bound), bounds))


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
