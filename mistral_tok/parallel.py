"""Work on the parts of a batch in several threads; the work itself releases the interpreter lock."""

from __future__ import annotations

import _thread
import os
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from itertools import accumulate
from typing import TypeVar

T = TypeVar("T")

CHUNK = 1 << 17
"""Characters, or bytes, in a part: enough that handing it over costs nothing, few enough that ids stay in the cache."""

WHOLE = 1 << 20
"""Characters in a part of one thread where results of parts would have to be joined."""

LEAST = 1 << 15
"""As few are in the last parts, so that threads end together."""


def in_chunks(
    texts: Sequence[str | bytes], threads: int | None, work: Callable[[int, int], T], alone: int = CHUNK
) -> list[T]:
    """Return the results of `work(start, stop)` over consecutive parts of `texts`, in order.

    `threads`: None takes as many as there are processors. Small batches stay in the calling thread, in parts of
    `alone` characters.
    """
    check_threads(threads)
    ends = list(accumulate(map(len, texts)))
    size = ends[-1] if ends else 0
    threads = min(threads or os.cpu_count() or 1, size // CHUNK + 1)
    return share(_bounds(ends, threads, alone), threads, work)


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
        """Work on one part after the other until none is left, or one has failed."""
        while not errors:
            try:
                i, bound = waiting.pop()
            except IndexError:
                return
            try:
                results[i] = work(*bound)
            except BaseException as error:
                errors[i] = error

    others = [_begin(take) for _ in range(min(threads, len(bounds)) - 1)]
    take()
    for ended in others:
        ended.acquire()
    if errors:
        raise errors[min(errors)]
    return [results[i] for i in range(len(bounds))]


def _begin(call: Callable[[], None]) -> _thread.LockType:
    """Run a call in another thread; what is returned can be acquired when it has ended.

    `threading.Thread` waits until the other thread runs, which is a tenth of what a batch of 400 kB takes.
    """
    ended = _thread.allocate_lock()
    ended.acquire()

    def run() -> None:
        try:
            call()
        finally:
            ended.release()

    _thread.start_new_thread(run, ())
    return ended


def _bounds(ends: list[int], threads: int, alone: int) -> list[tuple[int, int]]:
    """Return where parts of texts begin and end, for the sizes of the first text, the first two, and so on."""
    bounds, start, done = [], 0, 0
    while start < len(ends):
        left = ends[-1] - done
        size = alone if threads == 1 else max(LEAST, min(CHUNK, left // (2 * threads)))
        stop = min(bisect_left(ends, done + size, start) + 1, len(ends))
        bounds.append((start, stop))
        start, done = stop, ends[stop - 1]
    return bounds or [(0, 0)]


def ahead(items: Generator[T]) -> Generator[T]:
    """Yield the same items; the next ones, two at most, are made in another thread while the caller works on the last.

    An error of that thread is raised here. When the caller stops early, or is interrupted, the thread ends with the
    item that it is at, and `items` is closed.
    """
    found: deque[tuple[T] | BaseException | None] = deque()
    ready, room = threading.Semaphore(0), threading.Semaphore(1)
    stopped = threading.Event()

    def make() -> None:
        """Put items where the caller finds them, and what ended them."""
        try:
            with closing(items):
                for item in items:
                    found.append((item,))
                    ready.release()
                    room.acquire()
                    if stopped.is_set():
                        return
            found.append(None)
        except BaseException as error:
            found.append(error)
        ready.release()

    threading.Thread(target=make, daemon=True).start()
    try:
        while True:
            ready.acquire()
            entry = found.popleft()
            if entry is None:
                return
            if isinstance(entry, BaseException):
                raise entry
            room.release()
            yield entry[0]
    finally:  # not joined: it may wait for input that never comes
        stopped.set()
        room.release()
