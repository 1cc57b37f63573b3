# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Where the texts of a batch lie, how many ids they have at most, and the parts in which threads share them."""

import cython
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.libc.stdlib import malloc
from cython.cimports.libc.string import memchr
from cython.cimports.mistral_tok.core.encode import look
from cython.cimports.mistral_tok.core.fast import mt_batch, mt_part, mt_text, mt_text_room

ROUND = cython.declare(uint64_t, 6 << 20)  # ids for which a worker has room: as many as it keeps between calls
MANY = cython.declare(cython.Py_ssize_t, 1 << 18)  # texts of a batch
LEAST = cython.declare(int64_t, 1 << 12)  # characters of a part: few enough that threads end together
MOST = cython.declare(int64_t, 1 << 17)  # few enough that lists are made while ids are in the cache


@cython.cfunc
@cython.exceptval(-1)
def make_room(b: cython.pointer(mt_batch), count: cython.Py_ssize_t) -> cython.int:
    """Make room for that many texts and parts."""
    b.texts = cython.cast(cython.pointer(mt_text), malloc((count + 1) * cython.sizeof(mt_text)))
    b.parts = cython.cast(cython.pointer(mt_part), malloc((count + 1) * cython.sizeof(mt_part)))
    if b.texts == cython.NULL or b.parts == cython.NULL:
        raise MemoryError(f"No memory for a batch of {count} texts.")
    return 0


@cython.cfunc
@cython.exceptval(-1)
def look_at_texts(
    b: cython.pointer(mt_batch), texts: list, start: cython.Py_ssize_t, strings: cython.bint, times: uint64_t
) -> cython.Py_ssize_t:
    """Note where each text from `start` on lies, of as many as fit into a batch; return where the next batch starts.

    Each byte makes up to `times` ids.
    """
    n: cython.Py_ssize_t = min(len(texts) - start, MANY)
    i: cython.Py_ssize_t
    make_room(b, n)
    for i in range(n):
        text = texts[start + i]
        if strings and not isinstance(text, str):
            raise TypeError(f"texts[{start + i}] is of type {type(text).__name__}; expected str.")
        look(text, b.texts + i)
        b.room += times * mt_text_room(b.texts + i)
        if b.room > ROUND and i > 0:
            b.room -= times * mt_text_room(b.texts + i)
            n = i
            break
        b.total += b.texts[i].size
    b.n_texts = n
    return start + n


@cython.cfunc
@cython.exceptval(-1)
def look_at_lines(
    b: cython.pointer(mt_batch), texts: list, start: cython.Py_ssize_t, times: uint64_t
) -> cython.Py_ssize_t:
    """Note where each line of texts from `start` on lies, of as many texts as fit into a batch."""
    i: cython.Py_ssize_t
    stop: cython.Py_ssize_t = start
    count: cython.Py_ssize_t
    n: cython.Py_ssize_t = 0
    size: uint64_t
    found: mt_text
    p: cython.p_char
    end: cython.p_char
    after: cython.p_char
    for i in range(start, len(texts)):
        held: bytes = texts[i]
        count = held.count(b"\n") + 1
        size = times * (len(held) + 32 * count)  # see mt_text_room
        if i > start and (b.room + size > ROUND or n + count > MANY):
            break
        n += count
        b.room += size
        b.total += len(held)
        stop = i + 1
    make_room(b, n)
    n = 0
    found.kind = 0
    for i in range(start, stop):
        held = texts[i]
        p = cython.cast(cython.p_char, held)
        end = p + len(held)
        while p <= end:
            after = cython.cast(cython.p_char, memchr(p, 10, end - p))
            if after == cython.NULL:
                after = end
            found.data = p
            found.size = after - p
            b.texts[n] = found
            n += 1
            p = after + 1
    b.n_texts = n
    return stop


@cython.cfunc
@cython.exceptval(check=False)
def cut_parts(b: cython.pointer(mt_batch), threads: cython.int) -> cython.void:
    """Cut a batch into parts for that many threads."""
    size: int64_t = MOST if threads == 1 else min(max(b.total // (32 * threads), LEAST), MOST)
    first: int64_t = 0
    done: int64_t = 0
    count: int64_t = 0
    i: int64_t
    for i in range(b.n_texts):
        done += b.texts[i].size
        if done >= size or i == b.n_texts - 1:
            b.parts[count].first = first
            b.parts[count].ids = cython.NULL
            first = i + 1
            count += 1
            done = 0
    b.parts[count].first = b.n_texts
    b.n_parts = count
