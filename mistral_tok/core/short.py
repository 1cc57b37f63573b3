# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Short texts of a batch, whose segments are looked up together.

A text of a few words has one new word or two, which wait for memory alone; those of many texts wait side by side. So
texts are put one behind the other, each is split by itself, and the segments of all are one group.
"""

import cython
from cython.cimports.libc.stdint import int32_t, int64_t, uint8_t, uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.mistral_tok.core.fast import (
    MT_GROUP,
    mt_buffer_fits,
    mt_group,
    mt_kept,
    mt_text,
    mt_text_find,
    mt_text_hash,
    mt_text_met,
    mt_text_room,
    mt_text_utf8,
)
from cython.cimports.mistral_tok.core.presplit import split_tekken
from cython.cimports.mistral_tok.core.reader import recalled
from cython.cimports.mistral_tok.core.worker import Worker

SHORT = cython.declare(uint64_t, 1100)  # bytes that the UTF-8 of a short text may need; with 2,048, code × 0.98
POOL = cython.declare(uint64_t, 1 << 14)  # bytes of all
SPARE = cython.declare(cython.int, 128)  # segments for which there must be room before a text is split


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def append(
    worker: Worker,
    g: cython.pointer(mt_group),
    texts: cython.pointer(mt_text),
    n: int64_t,
    ends: cython.pointer(uint64_t),
    stops: cython.pointer(cython.int),
    hashes: cython.pointer(uint64_t),
    size: uint64_t,
    head: int32_t,
    tail: int32_t,
    k: cython.pointer(int64_t),
) -> cython.bint:
    """Append the ids of `n` texts whose segments were looked up; False without memory.

    Segments of text `i` end before `stops[i]`; the texts have `size` bytes, and hashes where they may be remembered.
    """
    i: int64_t
    j: cython.int = 0
    before: int64_t
    start: int64_t
    for i in range(n):
        before = k[0]
        if head >= 0:
            worker.ids[k[0]] = head
            k[0] += 1
        start = k[0]
        if j < stops[i]:
            k[0] = worker.copied(g, worker.utf8.data, ends, j, stops[i], 0, size, start)
            if k[0] < 0:
                return False
        j = stops[i]
        if hashes[i]:
            mt_text_met(cython.address(worker.texts), texts + i, hashes[i], worker.ids + start, k[0] - start)
        if tail >= 0:
            worker.ids[k[0]] = tail
            k[0] += 1
        texts[i].size = k[0] - before
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def encode_short(
    worker: Worker,
    texts: cython.pointer(mt_text),
    count: int64_t,
    head: int32_t,
    tail: int32_t,
    k: cython.pointer(int64_t),
) -> int64_t:
    """Encode the first of `count` texts behind `k[0]` ids, as many as are short and have room; return how many.

    The size of each becomes the number of its ids, and `k[0]` grows by all. 0 where the first is not short, has too
    many segments, or half a surrogate pair; −1 without memory. One that is remembered as a whole is copied by itself.
    Only for Tekken's pattern without user-defined pieces and without a space put before a text.
    """
    g: mt_group
    ends: uint64_t[MT_GROUP]
    hashes: uint64_t[MT_GROUP]
    stops: cython.int[MT_GROUP]
    made: cython.int = 0
    more: cython.int
    j: cython.int
    size: uint64_t = 0
    room: uint64_t
    at: uint64_t
    kept: cython.pointer(cython.const[mt_kept])
    p: cython.pointer(uint8_t)
    bytes_: int64_t
    before: int64_t
    n: int64_t = 0
    if not mt_buffer_fits(cython.address(worker.utf8), POOL):
        return -1
    while n < count and n < MT_GROUP:
        room = mt_text_room(texts + n)
        if room > SHORT or size + room > POOL or made + made * texts[n].size // (size + 1) + SPARE > MT_GROUP:
            break
        hashes[n] = mt_text_hash(cython.address(worker.texts), texts + n) if worker.t.recall else 0
        kept = mt_text_find(cython.address(worker.texts), texts + n, hashes[n]) if hashes[n] else cython.NULL
        if kept != cython.NULL:
            if n > 0:
                break
            before = k[0]
            k[0] = recalled(worker, kept, head, tail, before)
            texts.size = k[0] - before
            return 1 if k[0] >= 0 else -1
        p = worker.utf8.data + size
        bytes_ = texts[n].size
        if texts[n].kind:
            bytes_ = mt_text_utf8(texts + n, p)
        else:
            memcpy(p, texts[n].data, bytes_)
        at = 0
        more = 0
        if bytes_ > 0:
            more = split_tekken(worker.t, p, bytes_, cython.address(at), ends + made, MT_GROUP - made, worker.cuts)
        if cython.cast(int64_t, at) != bytes_:  # no room for all, or half a surrogate pair
            break
        for j in range(made, made + more):
            ends[j] += size
        made += more
        stops[n] = made
        size += bytes_
        n += 1
    if not worker.reserve(k[0] + size + 2 * n):
        return -1
    if made:
        worker.look_up(cython.address(g), worker.utf8.data, ends, made, 0, size)
    return n if append(worker, cython.address(g), texts, n, ends, stops, hashes, size, head, tail, k) else -1
