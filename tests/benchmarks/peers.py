"""One adapter for each tokenizer that is measured: the same operations, each by the library's own fastest call.

An adapter is loaded in a process of its own (see `worker`), so that nothing here is imported by the parent.
"""

from __future__ import annotations

import base64
import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.convert import official, tokenizer_json

OURS = "mistral-tok"
SPM, TEKKEN = "v3", "v3-tekken"
REFERENCE = {SPM: "sentencepiece", TEKKEN: "mistral-common"}
"""Whose ids are right, by definition."""

Lists = Callable[[list[str]], Sequence[Any]]


@dataclass(frozen=True)
class Peer:
    """Operations on a list of texts; None where the library has no such call.

    `lists` returns Python lists of ids, `arrays` numpy arrays or buffers, one or many; the `_threads` twins take the
    number of threads. `batch` is one call for all texts on one thread, for lists. `decode` takes rows of ids and
    returns strings or bytes. `arrays_each`: an array a text.
    `segments` stops recalling whole texts, where the library does so: from then on texts met before are encoded.
    """

    lists: Lists
    arrays: Lists | None = None
    batch: Lists | None = None
    lists_threads: Callable[[list[str], int], Any] | None = None
    arrays_threads: Callable[[list[str], int], Any] | None = None
    decode: Callable[[list[list[int]]], Any] | None = None
    count: Callable[[list[str]], Any] | None = None
    offsets: Callable[[list[str]], Any] | None = None
    arrays_each: Callable[[list[str]], Any] | None = None
    segments: Callable[[], None] | None = None


def _mistral_tok(vocab: str, folder: Path) -> Peer:
    from mistral_tok import Tokenizer

    tok = Tokenizer.bundled(vocab)
    return Peer(
        lists=lambda texts: [tok.encode(t) for t in texts],
        arrays=lambda texts: tok.encode_ragged(texts, threads=1),
        batch=lambda texts: tok.encode_batch(texts, threads=1),
        lists_threads=lambda texts, n: tok.encode_batch(texts, threads=n),
        arrays_threads=lambda texts, n: tok.encode_ragged(texts, threads=n),
        decode=lambda rows: [tok.decode(r) for r in rows],
        count=lambda texts: [tok.count(t) for t in texts],
        offsets=lambda texts: [tok.encode_with_offsets(t) for t in texts],
        arrays_each=lambda texts: [tok.encode_array(t) for t in texts],
        segments=lambda: tok._image.tables.set_recall(False),
    )


def _mistral_common(vocab: str, folder: Path) -> Peer:
    from mistral_common.tokens.tokenizers.sentencepiece import SentencePieceTokenizer
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    path = official(vocab)
    tok: Any = Tekkenizer.from_file(path) if vocab == TEKKEN else SentencePieceTokenizer(path)
    return Peer(
        lists=lambda texts: [tok.encode(t, bos=False, eos=False) for t in texts],
        decode=lambda rows: [tok.decode(r) for r in rows],
    )


def _sentencepiece(vocab: str, folder: Path) -> Peer:
    from sentencepiece import SentencePieceProcessor

    spm = SentencePieceProcessor(model_file=str(official(vocab)))
    return Peer(
        lists=lambda texts: [spm.encode(t) for t in texts],
        batch=lambda texts: spm.encode(texts, num_threads=1),
        lists_threads=lambda texts, n: spm.encode(texts, num_threads=n),
        decode=lambda rows: [spm.decode(r) for r in rows],
    )


def _tiktoken(vocab: str, folder: Path) -> Peer:
    from tiktoken import Encoding

    raw = json.loads(official(vocab).read_bytes())
    config = raw["config"]
    size = config["default_vocab_size"] - config["default_num_special_tokens"]
    ranks = {base64.b64decode(v["token_bytes"]): v["rank"] for v in raw["vocab"][:size]}
    enc = Encoding("tekken", pat_str=config["pattern"], mergeable_ranks=ranks, special_tokens={})
    return Peer(
        lists=lambda texts: [enc.encode_ordinary(t) for t in texts],
        arrays=lambda texts: [enc.encode_to_numpy(t, disallowed_special=()) for t in texts],
        batch=lambda texts: enc.encode_ordinary_batch(texts, num_threads=1),
        lists_threads=lambda texts, n: enc.encode_ordinary_batch(texts, num_threads=n),
        decode=lambda rows: [enc.decode(r) for r in rows],
    )


def _tokenizers(vocab: str, folder: Path) -> Peer:
    from tokenizers import Tokenizer

    tok = Tokenizer.from_file(str(tokenizer_json(vocab, folder)))
    return Peer(
        lists=lambda texts: [tok.encode(t, add_special_tokens=False).ids for t in texts],
        batch=lambda texts: [e.ids for e in tok.encode_batch_fast(texts, add_special_tokens=False)],
        lists_threads=lambda texts, n: [e.ids for e in tok.encode_batch_fast(texts, add_special_tokens=False)],
        decode=lambda rows: [tok.decode(r) for r in rows],
        offsets=lambda texts: [tok.encode(t, add_special_tokens=False).offsets for t in texts],
    )


def _kitoken(vocab: str, folder: Path) -> Peer:
    from kitoken import Kitoken

    load = Kitoken.from_tekken_file if vocab == TEKKEN else Kitoken.from_sentencepiece_file
    tok = load(str(official(vocab)))
    return Peer(
        lists=lambda texts: [tok.encode(t) for t in texts],
        batch=tok.encode_all,
        decode=lambda rows: [tok.decode(r).decode() for r in rows],
    )


def _tuetoken(vocab: str, folder: Path) -> Peer:
    from tuetoken import Tokenizer

    tok = Tokenizer(str(tokenizer_json(vocab, folder)))
    return Peer(
        lists=lambda texts: [tok.encode_ordinary(t) for t in texts],
        arrays=lambda texts: tok.encode_ordinary_to_buffer(texts, num_threads=1),
        batch=lambda texts: tok.encode_ordinary_batch(texts, num_threads=1),
        lists_threads=lambda texts, n: tok.encode_ordinary_batch(texts, num_threads=n),
        arrays_threads=lambda texts, n: tok.encode_ordinary_to_buffer(texts, num_threads=n),
        decode=lambda rows: [tok.decode(r) for r in rows],
        count=lambda texts: [tok.count_tokens(t) for t in texts],
    )


def _fastokens(vocab: str, folder: Path) -> Peer:
    native = importlib.import_module("fastokens._native")
    tok = native.Tokenizer.from_file(str(tokenizer_json(vocab, folder)))
    return Peer(
        lists=lambda texts: [tok.encode_ordinary(t).ids for t in texts],
        arrays=tok.encode_batch_flat,
        batch=lambda texts: [e.ids for e in tok.encode_batch(texts)],
        lists_threads=lambda texts, n: [e.ids for e in tok.encode_batch(texts)],
        arrays_threads=lambda texts, n: tok.encode_batch_flat(texts),
        decode=lambda rows: [tok.decode(r) for r in rows],
        count=lambda texts: [len(tok.encode_ordinary(t)) for t in texts],
    )


def _gigatoken(vocab: str, folder: Path) -> Peer:
    from gigatoken import Tokenizer

    tok = Tokenizer(str(tokenizer_json(vocab, folder)))
    return Peer(
        lists=lambda texts: [tok.encode(t).tolist() for t in texts],
        arrays=lambda texts: [tok.encode(t) for t in texts],
        batch=lambda texts: tok.encode_batch_list(texts, parallel=False),
        lists_threads=lambda texts, n: tok.encode_batch_list(texts, parallel=True),
        arrays_threads=lambda texts, n: tok.encode_batch(texts, parallel=True),
        decode=lambda rows: [tok.decode(r).decode() for r in rows],
    )


LOADERS: dict[str, Callable[[str, Path], Peer]] = {
    OURS: _mistral_tok,
    "mistral-common": _mistral_common,
    "sentencepiece": _sentencepiece,
    "tiktoken": _tiktoken,
    "tokenizers": _tokenizers,
    "kitoken": _kitoken,
    "tuetoken": _tuetoken,
    "fastokens": _fastokens,
    "gigatoken": _gigatoken,
    "gigatoken-cachefix": _gigatoken,
}
ONLY = {"sentencepiece": (SPM,), "tiktoken": (TEKKEN,)}
"""Peers that read one of the two vocabularies only."""

TAKES_THREADS = (OURS, "sentencepiece", "tiktoken", "tuetoken")
"""Whose batch calls take the number of threads; others get it by RAYON_NUM_THREADS; their one thread is a loop."""

ID_SHIFT = {"tiktoken": 1000}
"""What to add to a peer's ids: tiktoken's ranks start behind Tekken's control tokens."""

MODULES = {
    OURS: "mistral_tok", "mistral-common": "mistral_common.tokens.tokenizers.tekken", "kitoken": "kitoken",
    "gigatoken-cachefix": "gigatoken", "fastokens": "fastokens._native",
}  # fmt: skip
"""The module whose import is timed, where it is not named like the package."""


def reads(name: str, vocab: str) -> bool:
    """Whether a peer can read this vocabulary at all."""
    return vocab in ONLY.get(name, (SPM, TEKKEN))
