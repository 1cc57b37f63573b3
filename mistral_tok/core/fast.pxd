# Declarations of fast.h for the modules of the core.
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, int32_t, int64_t

cdef extern from "fast.h" nogil:
    ctypedef struct mt_ranks:
        uint16_t mark[16]
        uint16_t rank[16]

    ctypedef struct mt_line:
        uint32_t value[4]

    ctypedef struct mt_tables:
        const uint32_t *offsets
        const uint8_t *blob
        const uint8_t *kinds
        const uint16_t *chars
        const uint8_t *itself
        const uint32_t *piece_hash
        uint64_t piece_mask
        const uint64_t *pairs
        uint64_t pair_mask
        const uint32_t *rule_result
        const uint32_t *rule_rank
        const uint8_t *ascii_joins
        const uint64_t *joins
        uint32_t joins_shift
        const uint64_t *fragment_joins
        const uint32_t *byte_symbols
        const uint16_t *class_index
        const uint8_t *classes
        const uint32_t *trie
        const uint32_t *trie_pieces
        const uint32_t *shorter
        const mt_ranks *pair_ranks
        uint64_t rank_lines
        uint32_t rank_shift
        const mt_line *known
        uint64_t known_mask
        const uint64_t *halves
        uint32_t n_pieces
        uint32_t n_symbols
        uint32_t n_rules
        uint32_t longest
        uint32_t window
        uint8_t marked
        uint8_t ties
        uint8_t words
        uint8_t simd
        uint8_t scans
        const uint32_t *first_rules
        uint32_t rule_base
        const uint32_t *char_symbols
        uint8_t split_spaces
        uint8_t recall

    ctypedef const mt_tables *tables_p "const mt_tables *"
    ctypedef const uint8_t *bytes_p "const uint8_t *"
    ctypedef int32_t *ids_p "int32_t *"

    uint32_t MT_NO_RULE
    uint32_t MT_NO_SYMBOL
    uint64_t MT_HASH_SEED
    uint64_t MT_EMPTY
    uint32_t MT_DIRECT
    ctypedef struct mt_buffer:
        uint8_t *data
        uint64_t room

    bint mt_buffer_fits(mt_buffer *b, uint64_t n)
    void mt_buffer_trim(mt_buffer *b, uint64_t most)
    void *mt_reserve(size_t size, void **block)
    void mt_release(void *block, size_t size)
    void mt_huge(void *memory, size_t size)
    void mt_prefetch(const void *p)
    uint64_t mt_mix(uint64_t h)
    uint32_t mt_cell(uint64_t mixed, uint32_t symbol)
    uint32_t MT_CELL_SYMBOL
    uint64_t mt_hash_step(uint64_t h, uint8_t byte)
    uint32_t mt_find_piece(const mt_tables *t, const uint8_t *p, uint32_t n, uint64_t h)
    uint32_t mt_lookup(const mt_tables *t, const uint8_t *p, uint32_t n)
    uint64_t mt_pair_start(uint64_t key)
    uint32_t MT_UNRANKED
    uint32_t mt_size_of(const mt_tables *t, uint64_t symbol)
    void mt_rank_add(mt_ranks *lines, uint64_t count, uint64_t key, uint32_t rank)
    uint32_t mt_rank_of(const mt_tables *t, uint64_t key)
    uint32_t mt_rule(const mt_tables *t, uint32_t left, uint32_t right)
    uint32_t mt_char(const uint8_t *p, uint32_t *size)
    uint32_t mt_join_hash(uint32_t a, uint32_t b)
    bint mt_joins_hashed(const mt_tables *t, uint32_t a, uint32_t b)
    bint mt_may_join(const mt_tables *t, uint32_t a, uint32_t b, uint8_t last, uint8_t first)
    int mt_cut_threes(const mt_tables *t, const uint8_t *p, uint64_t n, uint64_t *at, uint64_t *ends)
    bint mt_class_joins(uint32_t a, uint32_t b)
    int mt_mask_class(uint32_t c)
    int mt_simd_best()
    bint mt_scannable(const uint8_t *p, uint64_t n, uint32_t leads)
    int mt_scan_words(int level, const uint8_t *p, uint64_t n, uint64_t *at, uint64_t *ends, int room, int *over, int wide)
    int mt_scan_tekken(int level, const uint8_t *p, uint64_t n, uint64_t *at, uint64_t *ends, int room, int *over)
    uint8_t mt_class(const mt_tables *t, uint32_t c)
    void mt_key(const uint8_t *p, uint32_t n, uint64_t room, uint64_t *k0, uint64_t *k1)
    uint64_t mt_key_hash(uint64_t k0, uint64_t k1)
    uint64_t mt_checksum(const uint8_t *p, uint64_t n)

cdef extern from "ints.h":
    const uint8_t *mt_ints(Py_ssize_t most) except NULL
    object mt_list(const uint8_t *ints, const int32_t *ids, Py_ssize_t n)
    object mt_list_room(Py_ssize_t n)
    int mt_list_extend(PyObject *list, const uint8_t *ints, const int32_t *ids, Py_ssize_t n, Py_ssize_t expected) except -1
    void mt_list_fit(PyObject *list)
    void mt_list_fill(PyObject *list, const uint8_t *ints, const int32_t *ids, Py_ssize_t n)

cdef extern from "text.h":
    ctypedef struct mt_text:
        const void *data
        Py_ssize_t size
        int kind

    bint mt_text_look(object held, mt_text *text)
    uint64_t mt_text_room(const mt_text *text) nogil
    int64_t mt_text_utf8(const mt_text *text, uint8_t *out) nogil

cdef extern from "texts.h" nogil:
    ctypedef struct mt_texts:
        uint64_t size

    ctypedef struct mt_kept:
        uint32_t count

    size_t mt_texts_cells(int log2)
    bint mt_texts_start(mt_texts *m, int log2, void *cells)
    void mt_texts_end(mt_texts *m)
    uint64_t mt_text_hash(const mt_texts *m, const mt_text *text)
    const mt_kept *mt_text_find(const mt_texts *m, const mt_text *text, uint64_t h)
    const uint8_t *mt_kept_ids(const mt_kept *kept)
    void mt_text_met(mt_texts *m, const mt_text *text, uint64_t h, const int32_t *ids, int64_t n)

cdef extern from "memory.h" nogil:
    enum:
        MT_GROUP
    uint64_t MT_ENTRY
    uint64_t MT_SOME
    ctypedef struct mt_memory:
        uint8_t *arena
        void *front

    ctypedef struct mt_group:
        int misses

    void mt_known_add(mt_line *lines, uint64_t mask, const uint8_t *p, uint32_t n, uint32_t piece)
    bint mt_memory_start(mt_memory *m, int lines_log2, int index_log2, int arena_log2, size_t front)
    void mt_memory_end(mt_memory *m)
    void mt_make_room(mt_memory *m, uint64_t count)
    void mt_ask(const mt_memory *m, mt_group *g, const uint8_t *p, uint64_t room, uint64_t start, const uint64_t *ends, int count)
    void mt_resolve(int level, const mt_memory *m, mt_group *g, int count)
    int mt_copy(const mt_memory *m, const mt_group *g, const uint8_t *p, uint64_t start, const uint64_t *ends, int i, int count, int32_t *out, int64_t *k)
    uint32_t mt_entry_find(const mt_memory *m, uint64_t k0, uint64_t k1)
    uint32_t mt_entry_keep(mt_memory *m, uint64_t k0, uint64_t k1, const int32_t *ids, int64_t n)
    uint32_t mt_entry_copy(const mt_memory *m, uint32_t entry, int32_t *out)
    bint mt_spilt(const mt_memory *m, uint64_t h)
    void mt_spill(mt_memory *m, uint64_t h)
    uint64_t mt_record_hash(const uint8_t *p, uint64_t n)
    const uint8_t *mt_record_find(const mt_memory *m, const uint8_t *p, uint32_t size, uint64_t h)
    const uint8_t *mt_record_keep(mt_memory *m, const uint8_t *p, uint32_t size, uint64_t h, const int32_t *ids, int64_t n)
    const uint8_t *mt_record_ids(const uint8_t *record, uint64_t size)

cdef extern from "trie.h" nogil:
    uint32_t MT_TRIE_PIECE
    uint32_t MT_CELL_OPEN
    uint32_t MT_CELL_SIZE(uint32_t found)
    uint32_t MT_TRIE_ROOT
    uint32_t MT_TRIE_SHIFT
    uint32_t MT_ORDER(uint64_t half)
    uint32_t mt_trie_word(const mt_tables *t, const uint8_t *p, uint32_t n, int32_t *out)

cdef extern from "words.h" nogil:
    enum:
        MT_SHORT
    ctypedef struct mt_word:
        uint32_t *sym
        uint8_t *end
        uint32_t n

    void mt_word_start(const mt_tables *t, mt_word *w, const uint8_t *p, uint32_t bytes)
    bint mt_word_step(const mt_tables *t, mt_word *w)
    void mt_learn(const mt_tables *t, mt_memory *m, mt_group *g, const uint8_t *p, uint64_t start, const uint64_t *ends)
    int64_t mt_merge_short(const mt_tables *t, const uint8_t *p, uint32_t bytes, int32_t *out)

cdef extern from "batch.h" nogil:
    ctypedef struct mt_part:
        int64_t first
        const int32_t *ids

    ctypedef struct mt_thread:
        uint64_t left
        int64_t number
        void *batch
        void *worker

    ctypedef struct mt_batch:
        mt_text *texts
        mt_part *parts
        mt_thread *threads
        int64_t *log
        int64_t n_texts, n_parts, n_threads
        uint64_t room
        int64_t total
        int failed

    int64_t mt_batch_take(mt_batch *b, int64_t number)
    void mt_batch_done(mt_batch *b, int64_t part, const int32_t *ids)
    const int32_t *mt_batch_ids(const mt_batch *b, int64_t part)
    void mt_batch_fail(mt_batch *b)
    void mt_batch_log(mt_batch *b, int64_t part)
    int64_t mt_batch_logged(const mt_batch *b, int64_t at)
    void mt_batch_return(mt_batch *b)
    int64_t mt_batch_gone(const mt_batch *b)
    void mt_batch_wait(const mt_batch *b, int64_t others)
