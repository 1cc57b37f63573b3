# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""One thread's encoder: it cuts a text into segments, remembers what segments encode to, and merges those it does not
know.

Three bounded tables remember. Segments of up to 15 bytes with up to four ids lie in sets of two 32-byte slots, a cache
line each: key and ids come with one access. Those of up to 31 bytes with up to seven ids have slots of a whole line. A
segment has a second set to go to while its first is full and the second is not; where both are, it drives out the older
one of the first. Longer ones lie in an arena with an index, which is emptied when it is full. None ever changes a
result: they hold what merging gave.
"""

import cython
from cython.cimports.libc.stdint import int32_t, int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free, malloc, realloc
from cython.cimports.libc.string import memchr, memcmp, memcpy, memset
from cython.cimports.mistral_tok.core.fast import (
    MT_HASH_SEED,
    MT_NO_SYMBOL,
    bytes_p,
    ids_p,
    mt_ask_sets,
    mt_char,
    mt_find,
    mt_joins_hashed,
    mt_keep_ids,
    mt_learn,
    mt_look,
    mt_lookup,
    mt_may_join,
    mt_mix,
    mt_recall_sets,
    mt_seen,
    mt_slot,
    mt_spill,
    mt_spilt,
    mt_wide,
    mt_zeroed,
    set_p,
)
from cython.cimports.mistral_tok.core.merge import merge
from cython.cimports.mistral_tok.core.presplit import cut, split_tekken
from cython.cimports.mistral_tok.core.tables import Tables

FEW = cython.declare(cython.int, 2)  # segments cut before characters that stand alone are looked for again
BYTES = cython.declare(uint32_t, 0xFFFFFFFF)
BLOCK = cython.declare(cython.int, 256)
GROUP = cython.declare(cython.int, 128)  # segments that are looked up at once
LONGEST = cython.declare(cython.int, 256)  # bytes of the longest segment that is remembered
FAILED = cython.declare(int64_t, -1)


@cython.cclass
class Worker:
    """Encodes UTF-8 for one thread at a time into its own buffer of ids."""

    def __init__(self, tables: Tables, scanner: int, cuts: bool, sets_log2: int, arena_log2: int):
        self.keep = tables
        self.t = cython.address(tables.t)
        self.scanner = scanner
        self.cuts = cuts
        self.m.set_mask = (cython.cast(uint64_t, 1) << sets_log2) - 1
        self.m.wide_mask = (cython.cast(uint64_t, 1) << max(2, sets_log2 - 2)) - 1
        self.index_mask = (cython.cast(uint64_t, 1) << max(4, arena_log2 - 6)) - 1
        self.arena_size = cython.cast(uint64_t, 1) << arena_log2
        self.m.slots = cython.cast(cython.pointer(mt_slot), mt_zeroed((self.m.set_mask + 1) * 64))
        self.m.wides = cython.cast(cython.pointer(mt_wide), mt_zeroed((self.m.wide_mask + 1) * 128))
        spills: uint64_t = (self.m.set_mask + self.m.wide_mask + 2) // 64 + 1
        self.m.spilt = cython.cast(cython.pointer(uint64_t), calloc(spills, 8))
        self.index = cython.cast(cython.pointer(uint32_t), calloc(self.index_mask + 1, 4))
        self.arena = cython.cast(cython.pointer(uint8_t), malloc(self.arena_size))
        self.arena_used = 8
        self.singles = cython.cast(cython.pointer(uint32_t), calloc(0x10000, 4))
        if (
            self.singles == cython.NULL
            or self.m.slots == cython.NULL
            or self.m.wides == cython.NULL
            or self.m.spilt == cython.NULL
            or self.index == cython.NULL
            or self.arena == cython.NULL
        ):
            raise MemoryError("No memory for an encoder's tables.")

    def __dealloc__(self):
        free(self.m.slots)
        free(self.m.wides)
        free(self.m.spilt)
        free(self.singles)
        free(self.index)
        free(self.arena)
        free(self.text)
        free(self.ids)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def reserve(self, ids: uint64_t) -> cython.bint:
        """Make room for that many ids in all, and what a slot writes at once."""
        room: uint64_t = ids + 16
        grown: cython.pointer(cython.void)
        if room <= self.ids_room:
            return True
        if room < 2 * self.ids_room:
            room = 2 * self.ids_room
        grown = realloc(self.ids, 4 * room)
        if grown == cython.NULL:
            return False
        self.ids = cython.cast(ids_p, grown)
        self.ids_room = room
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def encode(
        self, p: bytes_p, n: uint64_t, at: cython.pointer(uint64_t), prefix: cython.bint, limit: int64_t, k: int64_t
    ) -> int64_t:
        """Append the ids of a text from `at[0]` on to the `k` that are there, until there are about `limit` of them.

        Moves `at[0]` and returns how many ids there are, or −1 without memory. `prefix` matters at the start only.
        """
        ends: uint64_t[256]
        start: uint64_t = at[0]
        count: cython.int
        if prefix and start < n:
            cut(self.t, p, n, at, ends, 1)
            if not self.reserve(cython.cast(uint64_t, k) + ends[0] + 2):
                return FAILED
            k = self.first(p, ends[0], n, k)
            start = at[0]
        while start < n and 0 <= k < limit:
            if self.scanner == 0 and p[start] & 0xF0 == 0xE0 and self.t.marked:
                k = self.alone(p, n, at, k)
                if k < 0 or at[0] > start:
                    start = at[0]
                    continue
                count = cut(self.t, p, n, at, ends, FEW)
            elif self.scanner == 1:
                count = split_tekken(self.t, p, n, at, ends, BLOCK, self.cuts)
            else:
                count = cut(self.t, p, n, at, ends, BLOCK)
            if not self.reserve(cython.cast(uint64_t, k) + at[0] - start):
                return FAILED
            k = self.segments(p, ends, count, start, n, k)
            start = at[0]
        return k

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def first(self, p: bytes_p, n: uint64_t, room: uint64_t, k: int64_t) -> int64_t:
        """Encode the first segment of a text with a space put in front of it."""
        size: uint32_t = 0
        c: uint32_t = mt_char(p, cython.address(size))
        if c == 0x2581:
            c = 32
        if (c == 32 and self.t.split_spaces) or not mt_may_join(self.t, 32, c, 32, p[0]):
            k = self.segment(cython.cast(bytes_p, cython.cast(cython.p_char, b" ")), 1, 1, k)
            return k if k < 0 else self.segment(p, n, room, k)
        if not self.reserve_text(2 * (n + 1)):
            return FAILED
        # The copy goes to the upper half: the lower one is where `miss` turns space marks into spaces.
        self.text[self.text_room // 2] = 32
        memcpy(self.text + self.text_room // 2 + 1, p, n)
        return self.segment(self.text + self.text_room // 2, n + 1, n + 1, k)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def reserve_text(self, n: uint64_t) -> cython.bint:
        if n > self.text_room:
            free(self.text)
            self.text = cython.cast(cython.pointer(uint8_t), malloc(2 * n))
            self.text_room = 2 * n if self.text != cython.NULL else 0
        return self.text != cython.NULL

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def encode_spans(
        self,
        p: bytes_p,
        n: uint64_t,
        ends: cython.pointer(uint64_t),
        count: int64_t,
        k: int64_t,
    ) -> int64_t:
        """Append the ids of a text that was split elsewhere: `ends` says where its segments end."""
        if not self.reserve(cython.cast(uint64_t, k) + n + 1):
            return FAILED
        done: int64_t = 0
        start: uint64_t = 0
        size: int64_t
        while done < count and k >= 0:
            size = count - done if count - done < 1 << 20 else 1 << 20
            k = self.segments(p, ends + done, cython.cast(cython.int, size), start, n, k)
            done += size
            start = ends[done - 1]
        return k

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def alone(self, p: bytes_p, n: uint64_t, at: cython.pointer(uint64_t), k: int64_t) -> int64_t:
        """Encode characters of three bytes that are segments of their own, up to one that joins the next.

        Chinese and Japanese are mostly such characters to a SentencePiece vocabulary: a table by code point gives
        their id, or says that they have none and become bytes. `at[0]` is where a segment starts, then and afterwards.
        """
        i: uint64_t = at[0]
        count: cython.int = 0
        size: uint32_t = 3
        c: uint32_t = mt_char(p + i, cython.address(size))
        following: uint32_t
        known: uint32_t
        if not self.reserve(cython.cast(uint64_t, k) + 3 * BLOCK):
            return FAILED
        while i + 3 < n and count < BLOCK and c != 0x2581:
            following = mt_char(p + i + 3, cython.address(size))
            if mt_joins_hashed(self.t, c, 32 if following == 0x2581 else following):
                break
            known = self.singles[c]
            if known == 0:
                known = mt_lookup(self.t, p + i, 3) + 1
                known = known if known <= self.t.n_pieces else BYTES
                self.singles[c] = known
            if known != BYTES:
                self.ids[k] = cython.cast(int32_t, known - 1)
                k += 1
            else:
                self.ids[k] = cython.cast(int32_t, self.t.byte_symbols[p[i]])
                self.ids[k + 1] = cython.cast(int32_t, self.t.byte_symbols[p[i + 1]])
                self.ids[k + 2] = cython.cast(int32_t, self.t.byte_symbols[p[i + 2]])
                k += 3
            i += 3
            count += 1
            c = following
            if size != 3:
                break
        at[0] = i
        return k

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def segments(
        self,
        p: bytes_p,
        ends: cython.pointer(uint64_t),
        count: cython.int,
        at: uint64_t,
        n: uint64_t,
        k: int64_t,
    ) -> int64_t:
        """Encode the segments that end at `ends`, the first of which starts at `at`."""
        keys: uint64_t[256]
        sets: set_p[128]
        base: cython.int = 0
        group: cython.int
        i: cython.int
        size: uint64_t
        known: uint32_t
        learnt: cython.bint
        while base < count:
            # All sets of a group are asked for before the first is looked at, so that their cache misses overlap.
            group = count - base if count - base < GROUP else GROUP
            mt_ask_sets(cython.address(self.m), p, n, at, ends + base, group, keys, sets)
            learnt = False
            i = 0
            while True:
                i += mt_recall_sets(
                    p,
                    n,
                    cython.address(at),
                    ends + base + i,
                    keys + 2 * i,
                    sets + i,
                    group - i,
                    self.ids,
                    cython.address(k),
                )
                if i == group:
                    break
                size = ends[base + i] - at
                known = self.find(p + at, size, n - at, k) if size <= 31 else 0
                if known == 0 and size <= 31 and not learnt:
                    learnt = True
                    mt_learn(
                        self.t,
                        cython.address(self.m),
                        p,
                        n,
                        at,
                        ends + base + i,
                        keys + 2 * i,
                        sets + i,
                        group - i,
                    )
                k = k + known if known else self.segment(p + at, size, n - at, k)
                if k < 0:
                    return k
                at = ends[base + i]
                i += 1
            base += group
        return k

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def find(self, p: bytes_p, n: uint64_t, room: uint64_t, k: int64_t) -> uint32_t:
        """Recall a segment of up to 31 bytes from wherever it is; write its ids and return their number, or 0."""
        seen: mt_seen
        known: uint32_t
        mt_look(cython.address(seen), p, cython.cast(uint32_t, n), room)
        known = mt_find(cython.address(self.m), cython.address(seen), self.ids + k)
        if known == 0 and mt_spilt(cython.address(self.m), cython.address(seen)):
            known = cython.cast(uint32_t, self.arena_find(p, n, seen.h, k))
        return known

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def segment(self, p: bytes_p, n: uint64_t, room: uint64_t, k: int64_t) -> int64_t:
        """Encode one segment: recall it, or work it out and remember it. `room` bytes may be read."""
        seen: mt_seen
        known: int64_t
        after: int64_t
        if n > 31:
            return self.long_segment(p, n, k)
        mt_look(cython.address(seen), p, cython.cast(uint32_t, n), room)
        known = mt_find(cython.address(self.m), cython.address(seen), self.ids + k)
        if known == 0 and mt_spilt(cython.address(self.m), cython.address(seen)):
            known = self.arena_find(p, n, seen.h, k)
        if known:
            return k + known
        after = self.miss(p, n, k)
        if after >= 0 and not mt_keep_ids(cython.address(self.m), cython.address(seen), self.ids + k, after - k):
            mt_spill(cython.address(self.m), cython.address(seen))
            self.arena_add(p, n, seen.h, k, after - k)
        return after

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def miss(self, p: bytes_p, n: uint64_t, k: int64_t) -> int64_t:
        """Work out a segment: a piece that merging would reach, or else by merging."""
        symbol: uint32_t
        i: uint64_t = 0
        j: uint64_t = 0
        if self.t.marked and memchr(p, 0xE2, n) != cython.NULL:
            if not self.reserve_text(2 * n):
                return FAILED
            while i < n:
                if i + 2 < n and p[i] == 0xE2 and p[i + 1] == 0x96 and p[i + 2] == 0x81:
                    self.text[j] = 32
                    i += 3
                else:
                    self.text[j] = p[i]
                    i += 1
                j += 1
            p = self.text
            n = j
        if n <= self.t.longest:
            symbol = mt_lookup(self.t, p, cython.cast(uint32_t, n))
            if symbol != MT_NO_SYMBOL and self.t.itself[symbol]:
                self.ids[k] = cython.cast(int32_t, symbol)
                return k + 1
        i = merge(self.t, p, n, self.ids + k)
        return FAILED if cython.cast(int64_t, i) < 0 else k + cython.cast(int64_t, i)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def long_segment(self, p: bytes_p, n: uint64_t, k: int64_t) -> int64_t:
        """Encode a segment of more than 31 bytes; one from a regular expression may fall into several at cuts."""
        ends: uint64_t[256]
        at: uint64_t = 0
        start: uint64_t = 0
        count: cython.int
        i: cython.int
        if not self.cuts:
            return self.recall_long(p, n, k)
        while start < n and k >= 0:
            count = cut(self.t, p, n, cython.address(at), ends, BLOCK)
            for i in range(count):
                if ends[i] - start > 31:
                    k = self.recall_long(p + start, ends[i] - start, k)
                else:
                    k = self.segment(p + start, ends[i] - start, n - start, k)
                if k < 0:
                    break
                start = ends[i]
        return k

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def recall_long(self, p: bytes_p, n: uint64_t, k: int64_t) -> int64_t:
        """Encode an uncut segment of more than 31 bytes."""
        h: uint64_t = MT_HASH_SEED ^ n
        i: uint64_t = 0
        word: uint64_t = 0
        known: int64_t
        after: int64_t
        if n > cython.cast(uint64_t, LONGEST):
            return self.miss(p, n, k)
        while i + 8 < n:
            memcpy(cython.address(word), p + i, 8)
            h = mt_mix(h ^ word)
            i += 8
        memcpy(cython.address(word), p + n - 8, 8)
        h = mt_mix(h ^ word)
        known = self.arena_find(p, n, h, k)
        if known:
            return k + known
        after = self.miss(p, n, k)
        if after >= 0:
            self.arena_add(p, n, h, k, after - k)
        return after

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def arena_find(self, p: bytes_p, n: uint64_t, h: uint64_t, k: int64_t) -> int64_t:
        """Look a segment up in the arena; write its ids and return their number, or 0."""
        i: uint64_t = h & self.index_mask
        head: cython.pointer(uint32_t)
        while self.index[i]:
            head = cython.cast(cython.pointer(uint32_t), self.arena + 8 * cython.cast(uint64_t, self.index[i]))
            if head[0] == n and memcmp(head + 2, p, n) == 0:
                memcpy(self.ids + k, cython.cast(cython.pointer(uint8_t), head + 2) + (n + 3) // 4 * 4, 4 * head[1])
                return head[1]
            i = (i + 1) & self.index_mask
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def arena_add(self, p: bytes_p, n: uint64_t, h: uint64_t, k: int64_t, count: int64_t) -> cython.void:
        """Remember a segment that is not in the arena: its size, number of ids, bytes and ids."""
        i: uint64_t
        head: cython.pointer(uint32_t)
        bytes_room: uint64_t = (n + 3) // 4 * 4
        need: uint64_t = (8 + bytes_room + 4 * cython.cast(uint64_t, count) + 7) // 8 * 8
        if need + 8 > self.arena_size:
            return
        if self.arena_used + need > self.arena_size or 2 * self.index_used > self.index_mask:
            memset(self.index, 0, 4 * (self.index_mask + 1))
            self.index_used = 0
            self.arena_used = 8
        i = h & self.index_mask
        while self.index[i]:
            i = (i + 1) & self.index_mask
        head = cython.cast(cython.pointer(uint32_t), self.arena + self.arena_used)
        head[0] = cython.cast(uint32_t, n)
        head[1] = cython.cast(uint32_t, count)
        memcpy(head + 2, p, n)
        memcpy(cython.cast(cython.pointer(uint8_t), head + 2) + bytes_room, self.ids + k, 4 * count)
        self.index[i] = cython.cast(uint32_t, self.arena_used // 8)
        self.index_used += 1
        self.arena_used += need
