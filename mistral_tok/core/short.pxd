from libc.stdint cimport int32_t, int64_t
from mistral_tok.core.fast cimport mt_text
from mistral_tok.core.worker cimport Worker

cdef int64_t encode_short(Worker worker, mt_text *texts, int64_t count, int32_t head, int32_t tail, int64_t *k) noexcept nogil
