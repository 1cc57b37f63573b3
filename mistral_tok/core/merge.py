# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Byte-pair merging of one segment: the miss path of the encoder.

Short segments are scanned for their best pair again and again in a few words of stack. Long ones go through a binary
heap, a window at a time, so that the working set stays in the cache and the time linear in the text.

**Why a window's result is final.** The full run always merges the best pair, the leftmost among equals. Run the same
on a window that ends in the middle of the segment, and keep a frontier: the last symbol whose past is certain. Merges
left of the frontier are ordered among themselves as in the full run, and only a merge of the frontier symbol with
something to its right, which the window does not know, could interfere. Such a merge makes a piece that starts where
the frontier symbol starts, is longer than it, and stands in the text; it can only have happened if its rank is better
than that of the pair about to merge (at equal rank the left one goes first). The text is known beyond the window, so
all such pieces can be looked up. While there is one, the frontier moves a symbol to the left; pairs beyond it are not
merged any more. At the end it moves until no longer piece starts at the frontier symbol at all: then no merge ever
crosses its end. What lies left of that is final, and the rest of the segment is encoded as if it were a text of its
own. Nothing is assumed of the vocabulary (ranks need not grow with length, pieces may be unreachable). A window that
settles less than half of itself is doubled, so that the worst text costs what one heap over all of it would.
"""

import cython
from cython.cimports.libc.stdint import int32_t, int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.mistral_tok.core.fast import (
    MT_HASH_SEED,
    MT_NO_RULE,
    MT_NO_SYMBOL,
    bytes_p,
    ids_p,
    mt_char,
    mt_find_piece,
    mt_hash_step,
    mt_lookup,
    mt_rule,
    tables_p,
)

SHORT = cython.declare(cython.int, 48)
WINDOW = cython.declare(cython.uint, 4096)
NEVER = cython.declare(uint32_t, 0xFFFFFFFF)
NONE = cython.declare(uint32_t, 0xFFFFFFFF)


def set_window(symbols: cython.uint) -> None:
    """Set the first size of the window of the long path, for tests that want many windows in little text."""
    global WINDOW
    WINDOW = max(2, symbols)


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
@cython.nogil
@cython.exceptval(check=False)
def merge_short(
    t: tables_p,
    p: bytes_p,
    n: uint64_t,
    out: ids_p,
) -> int64_t:
    """Merge a segment of at most 48 bytes."""
    symbols: uint32_t[48]
    rules: uint32_t[48]
    ranks: uint32_t[48]
    size: uint32_t = 0
    at: uint64_t = 0
    count: cython.int = 0
    i: cython.int
    best: cython.int
    low: uint32_t
    k: int64_t = 0
    while at < n:
        symbols[count] = next_symbol(t, p + at, cython.address(size))
        at += size
        if count > 0:
            rules[count - 1] = rule_for(t, symbols[count - 1], symbols[count])
            ranks[count - 1] = rank_of(t, rules[count - 1])
        count += 1
    while True:
        low = NEVER
        best = -1
        for i in range(count - 1):
            if ranks[i] < low:
                low = ranks[i]
                best = i
        if best < 0:
            break
        symbols[best] = t.rule_result[rules[best]]
        count -= 1
        for i in range(best + 1, count):
            symbols[i] = symbols[i + 1]
            rules[i - 1] = rules[i]
            ranks[i - 1] = ranks[i]
        if best > 0:
            rules[best - 1] = rule_for(t, symbols[best - 1], symbols[best])
            ranks[best - 1] = rank_of(t, rules[best - 1])
        if best + 1 < count:
            rules[best] = rule_for(t, symbols[best], symbols[best + 1])
            ranks[best] = rank_of(t, rules[best])
    at = 0
    for i in range(count):
        at = emit(t, symbols[i], p, at, out, cython.address(k))
    return k


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def push(heap: cython.pointer(uint64_t), size: cython.pointer(uint32_t), item: uint64_t) -> cython.void:
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
def best_beyond(
    t: tables_p,
    p: bytes_p,
    at: uint64_t,
    size: uint64_t,
    n: uint64_t,
) -> uint32_t:
    """Find the best rank among pieces that start at `at`, are longer than `size` bytes and stand in the text."""
    h: uint64_t = MT_HASH_SEED
    best: uint32_t = NEVER
    symbol: uint32_t
    i: uint64_t
    most: uint64_t = n - at
    if most > t.longest:
        most = t.longest
    for i in range(most):
        h = mt_hash_step(h, p[at + i])
        if i >= size:
            symbol = mt_find_piece(t, p + at, cython.cast(uint32_t, i + 1), h)
            if symbol != MT_NO_SYMBOL and t.symbol_rank[symbol] < best:
                best = t.symbol_rank[symbol]
    return best


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
    out: ids_p,
    k: cython.pointer(int64_t),
) -> uint64_t:
    """Merge up to `room` symbols from `start`, write what is final, and return where that ends (`start`: nothing is).

    `memory` holds 44 bytes a symbol.
    """
    heap: cython.pointer(uint64_t) = cython.cast(cython.pointer(uint64_t), memory)
    symbols: cython.pointer(uint32_t) = cython.cast(cython.pointer(uint32_t), heap + 3 * cython.cast(uint64_t, room))
    rules: cython.pointer(uint32_t) = symbols + room
    after: cython.pointer(uint32_t) = rules + room
    before: cython.pointer(uint32_t) = after + room
    where: cython.pointer(uint32_t) = before + room
    count: uint32_t = 0
    waiting: uint32_t = 0
    size: uint32_t = 0
    at: uint64_t = start
    i: uint32_t
    j: uint32_t
    low: uint32_t
    beyond: uint32_t
    frontier: uint32_t
    item: uint64_t
    whole: cython.bint
    while at < n and count < room:
        where[count] = cython.cast(uint32_t, at - start)
        symbols[count] = next_symbol(t, p + at, cython.address(size))
        before[count] = count - 1
        after[count] = count + 1
        at += size
        if count > 0:
            rules[count - 1] = rule_for(t, symbols[count - 1], symbols[count])
            if rules[count - 1] != MT_NO_RULE:
                push(
                    heap,
                    cython.address(waiting),
                    (cython.cast(uint64_t, rank_of(t, rules[count - 1])) << 32) | (count - 1),
                )
        count += 1
    rules[count - 1] = MT_NO_RULE
    after[count - 1] = NONE
    whole = at == n
    frontier = count - 1
    beyond = NEVER if whole else best_beyond(t, p, start + where[frontier], at - start - where[frontier], n)
    while frontier != NONE:
        low = NEVER
        i = NONE
        while waiting > 0:
            item = pop(heap, cython.address(waiting))
            i = cython.cast(uint32_t, item)
            low = cython.cast(uint32_t, item >> 32)
            if rank_of(t, rules[i]) == low:
                break
            low = NEVER
        while frontier != NONE and beyond < low:
            j = frontier
            frontier = before[j]
            if frontier != NONE:
                beyond = best_beyond(t, p, start + where[frontier], where[j] - where[frontier], n)
        if low == NEVER or frontier == NONE:
            break
        j = after[i]
        if j > frontier:
            continue
        symbols[i] = t.rule_result[rules[i]]
        rules[j] = MT_NO_RULE
        after[i] = after[j]
        if after[i] != NONE:
            before[after[i]] = i
        if j == frontier:
            frontier = i
            if not whole:
                beyond = best_beyond(
                    t, p, start + where[i], (where[after[i]] if after[i] != NONE else at - start) - where[i], n
                )
        rules[i] = MT_NO_RULE
        if after[i] != NONE:
            rules[i] = rule_for(t, symbols[i], symbols[after[i]])
            if rules[i] != MT_NO_RULE:
                push(heap, cython.address(waiting), (cython.cast(uint64_t, rank_of(t, rules[i])) << 32) | i)
        if before[i] != NONE:
            j = before[i]
            rules[j] = rule_for(t, symbols[j], symbols[i])
            if rules[j] != MT_NO_RULE:
                push(heap, cython.address(waiting), (cython.cast(uint64_t, rank_of(t, rules[j])) << 32) | j)
    if frontier == NONE:
        return start
    at = (
        start
        + where[frontier]
        + (
            (where[after[frontier]] - where[frontier])
            if after[frontier] != NONE
            else cython.cast(uint32_t, at - start - where[frontier])
        )
    )
    if not whole and at - start < cython.cast(uint64_t, where[count - 1]) // 2:
        return start
    item = start
    i = 0
    while i != NONE and i <= frontier:
        item = emit(t, symbols[i], p, item, out, k)
        i = after[i]
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def merge(
    t: tables_p,
    p: bytes_p,
    n: uint64_t,
    out: ids_p,
) -> int64_t:
    """Encode one segment of `n` > 0 bytes (a space mark already a space) into `out`, which has room for `n` ids.

    Returns the number of ids, or −1 when memory ran out.
    """
    k: int64_t = 0
    at: uint64_t = 0
    end: uint64_t
    room: uint64_t = WINDOW
    memory: cython.pointer(uint8_t)
    if n <= cython.cast(uint64_t, SHORT):
        return merge_short(t, p, n, out)
    if room > n:
        room = n
    memory = cython.cast(cython.pointer(uint8_t), malloc(44 * room))
    while memory != cython.NULL and at < n:
        end = merge_window(t, p, n, at, cython.cast(uint32_t, room), memory, out, cython.address(k))
        if end == at:
            free(memory)
            room = 2 * room if 2 * room < n else n
            memory = cython.cast(cython.pointer(uint8_t), malloc(44 * room)) if room < 1 << 30 else cython.NULL
        at = end
    if memory == cython.NULL:
        return -1
    free(memory)
    return k
