# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Where a text is cut before merging: between characters that no piece joins, and by Tekken's regular expression.

Both functions continue at `at[0]`, write where segments end to `ends` until the text or the room is used up, and return
how many they wrote.
"""

import cython
from cython.cimports.libc.stdint import uint32_t, uint64_t
from cython.cimports.mistral_tok.core.fast import (
    MT_GROUP,
    bytes_p,
    mt_char,
    mt_class,
    mt_cut_threes,
    mt_may_join,
    mt_scan_tekken,
    mt_scan_words,
    mt_scannable,
    tables_p,
)

# What a character's class says, one bit each; the table is made by core/image.py.
UPPER = cython.declare(cython.int, 1)  # \p{Lu} \p{Lt} \p{Lm} \p{Lo} \p{M}
LOWER = cython.declare(cython.int, 2)  # \p{Ll} \p{Lm} \p{Lo} \p{M}
NUMBER = cython.declare(cython.int, 4)  # \p{N}
SPACE = cython.declare(cython.int, 8)  # \s
NEWLINE = cython.declare(cython.int, 16)  # \r \n
OTHER = cython.declare(cython.int, 32)  # [^\s\p{L}\p{N}]
LEAD = cython.declare(cython.int, 64)  # [^\r\n\p{L}\p{N}]

SCAN = cython.declare(cython.int, 64)  # room that a scan by masks wants
SPACE_MARK = cython.declare(uint32_t, 0x2581)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def cut(
    t: tables_p,
    p: bytes_p,
    n: uint64_t,
    at: cython.pointer(uint64_t),
    ends: cython.pointer(uint64_t),
    room: cython.int,
) -> cython.int:
    """Cut between neighbours that stand side by side in no piece: no merge can cross there."""
    i: uint64_t = at[0]
    count: cython.int = 0
    previous: uint32_t
    c: uint32_t
    before: uint32_t
    over: cython.int = 0
    made: cython.int
    size: uint32_t = 0
    while i < n and count < room:
        if t.words and t.simd and room > SCAN and mt_scannable(p + i, n - i, t.words):
            if room - count < SCAN:
                break
            count += mt_scan_words(
                t.simd, p, n, cython.address(i), ends + count, room - count, cython.address(over), t.words > 1
            )
            if count == room or i == n:
                break
        if p[i] & 0xF0 == 0xE0 and not t.marked and room - count >= SCAN and n - i >= 6:
            made = mt_cut_threes(t, p, n, cython.address(i), ends + count)
            count += made
            if made:
                continue
        before = p[i]
        previous = mt_char(p + i, cython.address(size))
        i += size
        if previous == SPACE_MARK and t.marked:
            previous = 32
        while i < n:
            c = p[i]
            if c < 128 and previous < 128:
                if not t.ascii_joins[(previous << 7) | c]:
                    break
                previous = c
                i += 1
                continue
            c = mt_char(p + i, cython.address(size))
            if c == SPACE_MARK and t.marked:
                c = 32
            if c == 32 and t.split_spaces:
                break
            if not mt_may_join(t, previous, c, p[i - 1], p[i]):
                break
            previous = c
            i += size
        ends[count] = i
        count += 1
        if t.marked and before < 0xE0 and i < n and p[i] & 0xF0 == 0xE0:
            break  # characters of three bytes begin, which the caller may know a shorter way for
    at[0] = i
    return count


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def class_at(t: tables_p, p: bytes_p, size: cython.pointer(uint32_t)) -> cython.int:
    if p[0] < 128:
        size[0] = 1
        return t.classes[p[0]]
    return mt_class(t, mt_char(p, size))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def word_end(t: tables_p, p: bytes_p, n: uint64_t, i: uint64_t) -> uint64_t:
    """Match `[upper]*[lower]+`, and after it `[upper]+[lower]*`, at a letter or mark, with what backtracking would
    give.

    When no lower-case letter follows the run of upper ones, the first form gives back characters until one is left
    that counts as both (Lm, Lo, M); only when there is none does the second form take the whole run. Bit 63 is set in
    that case.
    """
    size: uint32_t = 0
    kind: cython.int = 0
    both: uint64_t = 0
    while i < n:
        kind = class_at(t, p + i, cython.address(size))
        if not kind & UPPER:
            break
        i += size
        if kind & LOWER:
            both = i
    if i < n and kind & LOWER and not kind & UPPER:
        while i < n and class_at(t, p + i, cython.address(size)) & LOWER:
            i += size
        return i
    if both:
        return both
    return i | (cython.cast(uint64_t, 1) << 63)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def space_end(t: tables_p, p: bytes_p, n: uint64_t, i: uint64_t) -> uint64_t:
    r"""Match `\s*[\r\n]+`, then `\s+(?!\S)`, then `\s+`, at a space."""
    start: uint64_t = i
    last: uint64_t = i
    newline: uint64_t = 0
    size: uint32_t = 0
    kind: cython.int
    while i < n:
        kind = class_at(t, p + i, cython.address(size))
        if not kind & SPACE:
            break
        last = i
        i += size
        if kind & NEWLINE:
            newline = i
    if newline:
        return newline
    if i == n or last == start:
        return i
    return last


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def tekken_end(t: tables_p, p: bytes_p, n: uint64_t, i: uint64_t) -> uint64_t:
    """Return where the match of Tekken's pattern ends that begins at `i`."""
    size: uint32_t = 0
    follows: uint32_t = 0
    first: cython.int = class_at(t, p + i, cython.address(size))
    after: uint64_t = i + size
    second: cython.int = first
    end: uint64_t = i
    if first & LEAD:
        second = class_at(t, p + after, cython.address(follows)) if after < n else 0
        end = after
    if second & (UPPER | LOWER):
        end = word_end(t, p, n, end)
        if not end >> 63:
            return end
        if not (first & LEAD and first & LOWER):
            return end & ~(cython.cast(uint64_t, 1) << 63)
    if first & LEAD and first & LOWER:
        return after
    if first & NUMBER:
        return after
    if first & OTHER or (p[i] == 32 and second & OTHER):
        end = after
        while end < n and class_at(t, p + end, cython.address(size)) & OTHER:
            end += size
        while end < n and (p[end] == 10 or p[end] == 13 or p[end] == 47):
            end += 1
        return end
    return space_end(t, p, n, i)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def split_tekken(
    t: tables_p,
    p: bytes_p,
    n: uint64_t,
    at: cython.pointer(uint64_t),
    ends: cython.pointer(uint64_t),
    room: cython.int,
    cuts: cython.bint,
) -> cython.int:
    """Split as Tekken's pattern does; matches lie side by side and leave nothing out.

    With `cuts`, matches of more than 15 bytes that end in a character of three bytes, and all of more than 31, are cut
    further where no merge can cross, if there is room for all.
    """
    found: uint64_t[MT_GROUP]
    i: uint64_t = at[0]
    start: uint64_t
    size: uint64_t
    count: cython.int = 0
    made: cython.int
    over: cython.int
    j: cython.int
    while i < n and count < room:
        made = 0
        over = 0
        start = i
        if t.scans and t.simd and room > SCAN and mt_scannable(p + i, n - i, 3):
            if room - count < SCAN:
                break
            made = mt_scan_tekken(t.simd, p, n, cython.address(i), ends + count, room - count, cython.address(over))
        if made == 0:
            i = tekken_end(t, p, n, i)
            ends[count] = i
            made = 1
            over = i - start > 15
        if not cuts or not over:
            count += made
            continue
        for j in range(made):
            found[j] = ends[count + j]
        for j in range(made):
            size = found[j] - start
            if size <= 15 or size > cython.cast(uint64_t, room) or (size <= 31 and p[found[j] - 3] & 0xF0 != 0xE0):
                if count == room:
                    break
                ends[count] = found[j]
                count += 1
                start = found[j]
            elif count + cython.cast(cython.int, size) <= room:
                while start < found[j]:
                    count += cut(t, p, found[j], cython.address(start), ends + count, room - count)
            else:
                break
        if start < i:
            i = start
            break
    at[0] = i
    return count
