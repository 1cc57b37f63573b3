# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""One thread's encoder: it cuts a text into segments, remembers what segments encode to, and merges those it does not
know.

What it remembers lies in bounded tables (memory.h, texts.h), which never change a result: they hold what merging gave.
"""

import cython
from cython.cimports.libc.stdint import int32_t, int64_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free, realloc
from cython.cimports.libc.string import memchr, memcpy
from cython.cimports.mistral_tok.core.fast import (
    MT_ENTRY,
    MT_GROUP,
    MT_NO_SYMBOL,
    MT_SOME,
    bytes_p,
    ids_p,
    mt_ask,
    mt_buffer_fits,
    mt_buffer_trim,
    mt_char,
    mt_copy,
    mt_entry_copy,
    mt_entry_find,
    mt_entry_keep,
    mt_group,
    mt_joins_hashed,
    mt_key,
    mt_key_hash,
    mt_learn,
    mt_lookup,
    mt_make_room,
    mt_may_join,
    mt_memory_end,
    mt_memory_start,
    mt_record_find,
    mt_record_hash,
    mt_record_ids,
    mt_record_keep,
    mt_resolve,
    mt_spill,
    mt_spilt,
    mt_texts_cells,
    mt_texts_end,
    mt_texts_start,
    mt_trie_word,
)
from cython.cimports.mistral_tok.core.merge import merge
from cython.cimports.mistral_tok.core.presplit import cut, split_tekken
from cython.cimports.mistral_tok.core.tables import Tables

FEW = cython.declare(cython.int, 2)  # segments cut before characters that stand alone are looked for again
BYTES = cython.declare(uint32_t, 0xFFFFFFFF)
LONGEST = cython.declare(cython.int, 256)  # bytes of the longest segment that is remembered
FAILED = cython.declare(int64_t, -1)


@cython.cclass
class Worker:
    """Encodes UTF-8 for one thread at a time into its own buffer of ids."""

    def __init__(self, tables: Tables, scanner: int, cuts: bool, table_bytes: int):
        self.keep = tables
        self.t = cython.address(tables.t)
        self.scanner = scanner
        self.cuts = cuts
        self.singles = cython.cast(cython.pointer(uint32_t), calloc(0x10000, 4))
        lines: int = table_bytes // 8 // 64
        cells: int = table_bytes // 16 // 8
        texts: cython.int = max(8, (table_bytes // 4).bit_length() - 1)
        enough: cython.bint = mt_memory_start(
            cython.address(self.m),
            max(2, lines.bit_length() - 1),
            max(4, cells.bit_length() - 1),
            min(27, max(10, (table_bytes // 4).bit_length() - 1)),
            mt_texts_cells(texts),
        ) and mt_texts_start(cython.address(self.texts), texts, self.m.front)
        if self.singles == cython.NULL or not enough:
            raise MemoryError("No memory for an encoder's tables.")

    def __dealloc__(self):
        mt_memory_end(cython.address(self.m))
        mt_texts_end(cython.address(self.texts))
        free(self.singles)
        mt_buffer_trim(cython.address(self.text), 0)
        mt_buffer_trim(cython.address(self.utf8), 0)
        self.regain()
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
        grown = realloc(cython.NULL if self.lent else self.ids, 4 * room)
        if grown == cython.NULL:
            return False
        if self.lent:
            memcpy(grown, self.ids, 4 * self.ids_room)
            free(self.own_ids)
            self.lent = False
        self.ids = cython.cast(ids_p, grown)
        self.ids_room = room
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def restart(self, ids: uint64_t) -> cython.bint:
        """Make room for that many ids, none of which are there yet: nothing is copied."""
        if ids + 16 <= self.ids_room:
            return True
        free(self.ids)
        self.ids = cython.NULL
        self.ids_room = 0
        return self.reserve(ids + ids // 4)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def lend(self, ids: ids_p, room: uint64_t) -> cython.void:
        """Write ids to memory of the caller's until `regain`, so that they need not be copied there."""
        self.own_ids = self.ids
        self.own_room = self.ids_room
        self.ids = ids
        self.ids_room = room
        self.lent = True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def regain(self) -> cython.bint:
        """Write to memory of its own again; False where the ids are there already: what was lent was too small."""
        if not self.lent:
            return False
        self.ids = self.own_ids
        self.ids_room = self.own_room
        self.lent = False
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
        ends: uint64_t[MT_GROUP]
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
                count = split_tekken(self.t, p, n, at, ends, MT_GROUP, self.cuts)
            else:
                count = cut(self.t, p, n, at, ends, MT_GROUP)
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
        if not mt_buffer_fits(cython.address(self.text), 2 * (n + 1)):
            return FAILED
        # The copy goes to the upper half: the lower one is where `miss` turns space marks into spaces.
        self.text.data[self.text.room // 2] = 32
        memcpy(self.text.data + self.text.room // 2 + 1, p, n)
        return self.segment(self.text.data + self.text.room // 2, n + 1, n + 1, k)

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
        if not self.reserve(cython.cast(uint64_t, k) + 3 * MT_GROUP):
            return FAILED
        while i + 3 < n and count < MT_GROUP and c != 0x2581:
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
        g: mt_group
        base: cython.int = 0
        group: cython.int
        while base < count and k >= 0:
            group = count - base if count - base < MT_GROUP else MT_GROUP
            self.look_up(cython.address(g), p, ends + base, group, at, n)
            k = self.copied(cython.address(g), p, ends + base, 0, group, at, n, k)
            base += group
            at = ends[base - 1]
        return k

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def look_up(
        self,
        g: cython.pointer(mt_group),
        p: bytes_p,
        ends: cython.pointer(uint64_t),
        count: cython.int,
        at: uint64_t,
        n: uint64_t,
    ) -> cython.void:
        """Find what the segments of a group encode to, and work out those that are not known."""
        mt_make_room(cython.address(self.m), count)
        mt_ask(cython.address(self.m), g, p, n, at, ends, count)
        mt_resolve(self.t.simd, cython.address(self.m), g, count)
        if g.misses:
            mt_learn(self.t, cython.address(self.m), g, p, at, ends)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def copied(
        self,
        g: cython.pointer(mt_group),
        p: bytes_p,
        ends: cython.pointer(uint64_t),
        i: cython.int,
        count: cython.int,
        at: uint64_t,
        n: uint64_t,
        k: int64_t,
    ) -> int64_t:
        """Append the ids of segments `i` to `count` of a group that was looked up and starts at `at`."""
        start: uint64_t
        while True:
            i = mt_copy(cython.address(self.m), g, p, at, ends, i, count, self.ids, cython.address(k))
            if i == count:
                return k
            start = ends[i - 1] if i > 0 else at
            k = self.segment(p + start, ends[i] - start, n - start, k)
            if k < 0:
                return k
            i += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def segment(self, p: bytes_p, n: uint64_t, room: uint64_t, k: int64_t) -> int64_t:
        """Encode one segment: recall it, or work it out and remember it. `room` bytes may be read.

        One of more than 31 bytes from a regular expression may fall into several at cuts.
        """
        ends: uint64_t[MT_GROUP]
        at: uint64_t = 0
        start: uint64_t = 0
        count: cython.int
        i: cython.int
        if n <= cython.cast(uint64_t, MT_ENTRY):
            return self.short_segment(p, n, room, k)
        if n <= 31 or not self.cuts:
            return self.long_segment(p, n, k)
        while start < n and k >= 0:
            count = cut(self.t, p, n, cython.address(at), ends, MT_GROUP)
            for i in range(count):
                if ends[i] - start > cython.cast(uint64_t, MT_ENTRY):
                    k = self.long_segment(p + start, ends[i] - start, k)
                else:
                    k = self.short_segment(p + start, ends[i] - start, n - start, k)
                if k < 0:
                    break
                start = ends[i]
        return k

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def short_segment(self, p: bytes_p, n: uint64_t, room: uint64_t, k: int64_t) -> int64_t:
        """Encode one of up to 15 bytes. With more than seven ids it is remembered where longer ones are."""
        k0: uint64_t = 0
        k1: uint64_t = 0
        entry: uint32_t
        h: uint64_t
        after: int64_t
        many: cython.bint
        mt_key(p, cython.cast(uint32_t, n), room, cython.address(k0), cython.address(k1))
        entry = mt_entry_find(cython.address(self.m), k0, k1)
        if entry:
            return k + mt_entry_copy(cython.address(self.m), entry, self.ids + k)
        h = mt_key_hash(k0, k1)
        many = n >= cython.cast(uint64_t, MT_SOME) and mt_spilt(cython.address(self.m), h)
        if many and self.recall(p, n, mt_record_hash(p, n), cython.address(k)):
            return k
        after = self.miss(p, n, k)
        if after < 0:
            return after
        if after - k < cython.cast(int64_t, MT_SOME):
            mt_entry_keep(cython.address(self.m), k0, k1, self.ids + k, after - k)
        else:
            mt_spill(cython.address(self.m), h)
            mt_record_keep(
                cython.address(self.m), p, cython.cast(uint32_t, n), mt_record_hash(p, n), self.ids + k, after - k
            )
        return after

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def recall(self, p: bytes_p, n: uint64_t, h: uint64_t, k: cython.pointer(int64_t)) -> cython.bint:
        """Write the ids of a record and add their number to `k[0]`; False where there is none."""
        count: uint32_t = 0
        record: bytes_p = mt_record_find(cython.address(self.m), p, cython.cast(uint32_t, n), h)
        if record == cython.NULL:
            return False
        memcpy(cython.address(count), record + 4, 4)
        memcpy(self.ids + k[0], mt_record_ids(record, n), 4 * cython.cast(uint64_t, count))
        k[0] += count
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def long_segment(self, p: bytes_p, n: uint64_t, k: int64_t) -> int64_t:
        """Encode one of more than 15 bytes that is cut no further."""
        h: uint64_t
        after: int64_t
        if n > cython.cast(uint64_t, LONGEST):
            return self.miss(p, n, k)
        h = mt_record_hash(p, n)
        if self.recall(p, n, h, cython.address(k)):
            return k
        after = self.miss(p, n, k)
        if after >= 0:
            mt_record_keep(cython.address(self.m), p, cython.cast(uint32_t, n), h, self.ids + k, after - k)
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
            if not mt_buffer_fits(cython.address(self.text), 2 * n):
                return FAILED
            while i < n:
                if i + 2 < n and p[i] == 0xE2 and p[i + 1] == 0x96 and p[i + 2] == 0x81:
                    self.text.data[j] = 32
                    i += 3
                else:
                    self.text.data[j] = p[i]
                    i += 1
                j += 1
            p = self.text.data
            n = j
            i = 0
        if n <= self.t.longest:
            symbol = mt_lookup(self.t, p, cython.cast(uint32_t, n))
            if symbol != MT_NO_SYMBOL and self.t.itself[symbol]:
                self.ids[k] = cython.cast(int32_t, symbol)
                return k + 1
        if n <= 64 and self.t.trie != cython.NULL:
            i = mt_trie_word(self.t, p, cython.cast(uint32_t, n), self.ids + k)
        if i == 0:
            i = merge(self.t, p, n, self.ids + k)
        return FAILED if cython.cast(int64_t, i) < 0 else k + cython.cast(int64_t, i)
