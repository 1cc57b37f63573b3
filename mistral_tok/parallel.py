"""Work on the parts of a batch in several threads; the work itself releases the interpreter lock."""

from __future__ import annotations

import _thread
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import TypeVar

from mistral_tok.core.block import Small
from mistral_tok.core.encode import Encoder
from mistral_tok.core.together import FORMS, Batch

T = TypeVar("T")

CHUNK = 1 << 17
"""Characters for which another thread is worth starting."""


def lists(encoder: Encoder, texts: list[str], threads: int | None, head: int = -1, tail: int = -1) -> list[list[int]]:
    """Return the ids of each text, encoded by up to `threads` threads (None: as many as there are processors)."""
    rounds = list(_rounds(encoder, texts, threads, (head, tail), Batch.lists))
    return rounds[0] if len(rounds) == 1 else [row for found in rounds for row in found]


def ragged(
    encoder: Encoder,
    texts: list[str] | list[bytes],
    threads: int | None,
    head: int = -1,
    tail: int = -1,
    *,
    strings: bool = True,
    lines: bool = False,
) -> Iterator[tuple[Small | memoryview, bytearray]]:
    """Yield the ids of the next texts, as int32, and 0 and where those of each end, as int64.

    Texts that are no `strings` are bytes, of UTF-8 that was checked; with `lines`, each line of these is a text.
    """
    return _rounds(encoder, texts, threads, (head, tail), Batch.ids, strings=strings, lines=lines)


def counts(encoder: Encoder, texts: list[str], threads: int | None) -> list[int]:
    """Return how many ids each text has."""
    return [n for found in _rounds(encoder, texts, threads, (-1, -1), Batch.counts) for n in found]


def _rounds(
    encoder: Encoder,
    texts: list[str] | list[bytes],
    threads: int | None,
    ends: tuple[int, int],
    result: Callable[[Batch], T],
    *,
    strings: bool = True,
    lines: bool = False,
) -> Iterator[T]:
    """Yield what batches became, one after the other: as many texts in each as fit into one."""
    worth, start = _worth(texts, threads), 0
    while start < len(texts) or start == 0:
        batch = Batch(encoder, texts, start, *ends, strings, lines, FORMS[result])
        batch.run(worth)
        found = result(batch)
        batch.end()
        yield found
        start = max(batch.stop, 1)


def check_threads(threads: int | None) -> None:
    """Refuse what is no number of threads."""
    if threads is not None and (not isinstance(threads, int) or isinstance(threads, bool) or threads < 1):
        raise ValueError(f"threads is {threads!r}; expected None or a number from 1 on.")


def _worth(texts: list[str] | list[bytes], threads: int | None) -> int:
    """Return how many threads are worth it: small batches stay in the calling one."""
    check_threads(threads)
    threads = threads or os.cpu_count() or 1
    try:
        return threads if threads == 1 else min(threads, sum(map(len, texts)) // CHUNK + 1)
    except TypeError:  # for what is no text there is a better message
        return 1


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
