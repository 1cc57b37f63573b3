# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Byte-pair merging of one segment: the miss path of the encoder.

Short segments are scanned for their best pair again and again in a few words of stack (words.h). Long ones go through
a binary heap, a window at a time, so that the working set stays in the cache and the time linear in the text.

**Why windows can be joined.** Merging always takes the best pair, the leftmost among equals, and a pair's rank
depends on its two symbols alone. Call two ids a valid pair if their text together encodes to just these two. Then a
sequence of ids, each pair of neighbours in it valid, is what its whole text encodes to. For suppose that the run over
the whole text merged across one of its boundaries, and look at the first time: until then the symbols of the two ids
at that boundary have merged in the same order as in a run over these two alone, where always the better of what they
offer goes next; in that state the run over the two alone would have taken the same merge, but it never crosses. The
same argument backwards shows that neighbours in a result are valid pairs. So when two overlapping windows have an id
in common at the same place, the ids of the first up to it and of the second from it on are the result for both
together. Nothing is assumed of the vocabulary: ranks need not grow with length, may be equal, and pieces may be
unreachable. Windows that never agree are doubled, so that the worst text costs what one heap over all of it would.

Tried before: a single heap over the whole segment (1.5 to 14 MB/s, and time per byte grows with the text as the heap
leaves the cache), and settling a window by what could still merge into its end (exact, but on periodic text such as
`aaaa` a longer piece always stands in the text, so that nothing was settled and the whole text went through one heap).
"""

import cython
from cython.cimports.libc.stdint import int32_t, int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.mistral_tok.core.fast import (
    MT_NO_RULE,
    MT_NO_SYMBOL,
    MT_SHORT,
    bytes_p,
    ids_p,
    mt_char,
    mt_lookup,
    mt_merge_short,
    mt_rule,
    tables_p,
)

LIMIT = cython.declare(uint64_t, 1 << 30)
NEVER = cython.declare(uint32_t, 0xFFFFFFFF)
NONE = cython.declare(uint32_t, 0xFFFFFFFF)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def rank_of(t: tables_p, rule: uint32_t) -> uint32_t:
    if rule == MT_NO_RULE:
        return NEVER
    return t.rule_rank[rule] if t.ties else rule


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def next_symbol(t: tables_p, p: bytes_p, size: cython.pointer(uint32_t)) -> uint32_t:
    """Take the symbol that stands at `p` before merging: a byte, or a character where there is a space mark."""
    if not t.marked:
        size[0] = 1
        return t.byte_symbols[p[0]]
    mt_char(p, size)
    return mt_lookup(t, p, size[0])


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def rule_for(t: tables_p, left: uint32_t, right: uint32_t) -> uint32_t:
    if left == MT_NO_SYMBOL or right == MT_NO_SYMBOL:
        return MT_NO_RULE
    return mt_rule(t, left, right)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def emit(
    t: tables_p,
    symbol: uint32_t,
    p: bytes_p,
    at: uint64_t,
    out: ids_p,
    k: cython.pointer(int64_t),
) -> uint64_t:
    """Write the id of a symbol, or the ids of its bytes when it is no piece; return where it ends."""
    size: uint32_t = 0
    i: uint32_t
    if symbol < t.n_pieces:
        out[k[0]] = cython.cast(int32_t, symbol)
        k[0] += 1
        return at + t.offsets[symbol + 1] - t.offsets[symbol]
    mt_char(p + at, cython.address(size))
    for i in range(size):
        out[k[0]] = cython.cast(int32_t, t.byte_symbols[p[at + i]])
        k[0] += 1
    return at + size


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def push(heap: cython.pointer(uint64_t), size: cython.pointer(uint32_t), item: uint64_t) -> cython.void:
    """Put an item on a binary heap, the least of which is on top."""
    i: uint32_t = size[0]
    parent: uint32_t
    size[0] += 1
    while i > 0:
        parent = (i - 1) >> 1
        if heap[parent] <= item:
            break
        heap[i] = heap[parent]
        i = parent
    heap[i] = item


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def pop(heap: cython.pointer(uint64_t), size: cython.pointer(uint32_t)) -> uint64_t:
    """Take the least item off a heap that has one."""
    top: uint64_t = heap[0]
    last: uint64_t
    n: uint32_t
    i: uint32_t = 0
    child: uint32_t
    size[0] -= 1
    n = size[0]
    last = heap[n]
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        if child + 1 < n and heap[child + 1] < heap[child]:
            child += 1
        if last <= heap[child]:
            break
        heap[i] = heap[child]
        i = child
    heap[i] = last
    return top


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def merge_window(
    t: tables_p,
    p: bytes_p,
    n: uint64_t,
    start: uint64_t,
    room: uint32_t,
    memory: cython.pointer(uint8_t),
    symbols: cython.pointer(uint32_t),
    starts: cython.pointer(uint64_t),
) -> uint32_t:
    """Merge up to `room` symbols from `start` on; write the results and where they start, and at last where they end.

    Returns their number. `memory` holds 40 bytes a symbol; `starts` has room for one more.
    """
    heap: cython.pointer(uint64_t) = cython.cast(cython.pointer(uint64_t), memory)
    rules: cython.pointer(uint32_t) = cython.cast(cython.pointer(uint32_t), heap + 3 * cython.cast(uint64_t, room))
    after: cython.pointer(uint32_t) = rules + room
    before: cython.pointer(uint32_t) = after + room
    count: uint32_t = 0
    waiting: uint32_t = 0
    size: uint32_t = 0
    at: uint64_t = start
    i: uint32_t
    j: uint32_t
    item: uint64_t
    while at < n and count < room:
        starts[count] = at
        symbols[count] = next_symbol(t, p + at, cython.address(size))
        before[count] = count - 1
        after[count] = count + 1
        at += size
        if count > 0:
            offer(t, heap, cython.address(waiting), rules, symbols, count - 1, count)
        count += 1
    rules[count - 1] = MT_NO_RULE
    after[count - 1] = NONE
    while waiting > 0:
        item = pop(heap, cython.address(waiting))
        i = cython.cast(uint32_t, item)
        if rules[i] == MT_NO_RULE or rank_of(t, rules[i]) != cython.cast(uint32_t, item >> 32):
            continue  # one of the two has merged otherwise since
        j = after[i]
        symbols[i] = t.rule_result[rules[i]]
        rules[i] = MT_NO_RULE
        rules[j] = MT_NO_RULE
        after[i] = after[j]
        if after[i] != NONE:
            before[after[i]] = i
            offer(t, heap, cython.address(waiting), rules, symbols, i, after[i])
        if before[i] != NONE:
            offer(t, heap, cython.address(waiting), rules, symbols, before[i], i)
    i = 0
    count = 0
    while i != NONE:
        symbols[count] = symbols[i]
        starts[count] = starts[i]
        count += 1
        i = after[i]
    starts[count] = at
    return count


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def offer(
    t: tables_p,
    heap: cython.pointer(uint64_t),
    waiting: cython.pointer(uint32_t),
    rules: cython.pointer(uint32_t),
    symbols: cython.pointer(uint32_t),
    i: uint32_t,
    j: uint32_t,
) -> cython.void:
    """Note the rule for the neighbours `i` and `j`, and put it on the heap."""
    rules[i] = rule_for(t, symbols[i], symbols[j])
    if rules[i] != MT_NO_RULE:
        push(heap, waiting, (cython.cast(uint64_t, rank_of(t, rules[i])) << 32) | i)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def merge_long(t: tables_p, p: bytes_p, n: uint64_t, out: ids_p, room: uint64_t) -> int64_t:
    """Merge window by window; 0 when two windows did not agree, −1 without memory, otherwise the number of ids."""
    memory: cython.pointer(uint8_t) = cython.cast(cython.pointer(uint8_t), malloc(64 * room + 64))
    starts: cython.pointer(uint64_t) = cython.cast(cython.pointer(uint64_t), memory + 40 * room)
    old_starts: cython.pointer(uint64_t) = starts + room + 1
    symbols: cython.pointer(uint32_t) = cython.cast(cython.pointer(uint32_t), old_starts + room // 8 + 2)
    old_symbols: cython.pointer(uint32_t) = symbols + room
    old: uint32_t = 0
    count: uint32_t
    keep: uint32_t
    i: uint32_t
    j: uint32_t
    at: uint64_t = 0
    k: int64_t = 0
    if memory == cython.NULL:
        return -1
    while True:
        count = merge_window(t, p, n, at, cython.cast(uint32_t, room), memory, symbols, starts)
        i = 0
        j = 0
        if old > 0:
            while i < old and j < count and not (old_starts[i] == starts[j] and old_starts[i + 1] == starts[j + 1]):
                if old_starts[i] < starts[j] or (old_starts[i] == starts[j] and old_starts[i + 1] < starts[j + 1]):
                    i += 1
                else:
                    j += 1
            if i == old or j == count:
                k = 0
                break
            write(t, old_symbols, old_starts, i, p, out, cython.address(k))
        if starts[count] == n:
            write(t, symbols + j, starts + j, count - j, p, out, cython.address(k))
            break
        keep = count - 1  # the ids from here on are met again in the next window
        while keep > j and starts[count] - starts[keep - 1] <= room // 8 and count - keep < room // 8:
            keep -= 1
        if keep == j or keep == 0:
            k = 0
            break
        write(t, symbols + j, starts + j, keep - j, p, out, cython.address(k))
        old = count - keep
        for i in range(old):
            old_symbols[i] = symbols[keep + i]
            old_starts[i] = starts[keep + i]
        old_starts[old] = starts[count]
        at = starts[keep]
    free(memory)
    return k


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def write(
    t: tables_p,
    symbols: cython.pointer(uint32_t),
    starts: cython.pointer(uint64_t),
    count: uint32_t,
    p: bytes_p,
    out: ids_p,
    k: cython.pointer(int64_t),
) -> cython.void:
    """Write the ids of results."""
    i: uint32_t
    for i in range(count):
        emit(t, symbols[i], p, starts[i], out, k)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def merge(t: tables_p, p: bytes_p, n: uint64_t, out: ids_p) -> int64_t:
    """Encode one segment of `n` > 0 bytes (a space mark already a space) into `out`, which has room for `n` ids.

    Returns the number of ids, or −1 when memory ran out.
    """
    k: int64_t = 0
    room: uint64_t = t.window
    if n <= cython.cast(uint64_t, MT_SHORT):
        return mt_merge_short(t, p, cython.cast(uint32_t, n), out)
    while k == 0:
        if room > n:
            room = n
        k = merge_long(t, p, n, out, room) if room < LIMIT else -1
        room *= 4
    return k
