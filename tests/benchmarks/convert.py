"""Hugging Face `tokenizer.json` files of the two official vocabularies, for the peers that read nothing else.

Control tokens are left out of `added_tokens`, as literal control strings in ordinary text must stay text; the ids of
all others are those of the official file.
"""

from __future__ import annotations

import base64
import json
from importlib.util import find_spec
from pathlib import Path

FILES = {"v3": "mistral_instruct_tokenizer_240323.model.v3", "v3-tekken": "tekken_240718.json"}


def official(vocab: str) -> Path:
    """The official file of a vocabulary, in mistral-common's package folder (which is not imported for it)."""
    spec = find_spec("mistral_common")
    if spec is None or spec.origin is None:
        raise SystemExit("mistral-common is not installed: pip install '.[bench]'")
    return Path(spec.origin).parent / "data" / FILES[vocab]


def tokenizer_json(vocab: str, folder: Path) -> Path:
    """Path of the vocabulary's `tokenizer.json` in `folder`, written there unless it exists."""
    path = folder / f"{vocab}.json"
    if not path.exists():
        made = _tekken(official(vocab)) if vocab == "v3-tekken" else sentencepiece_json(official(vocab))
        path.write_text(json.dumps(made, ensure_ascii=False), encoding="utf-8")
    return path


def sentencepiece_json(path: Path) -> dict[str, object]:
    """The `tokenizer.json` of a SentencePiece file, control tokens left out."""
    from sentencepiece import SentencePieceProcessor

    spm = SentencePieceProcessor(model_file=str(path))
    pieces = [spm.id_to_piece(i) for i in range(spm.vocab_size())]
    plain = {p: i for i, p in enumerate(pieces) if not (spm.is_control(i) or spm.is_unknown(i) or spm.is_byte(i))}
    merges = []
    for piece, i in plain.items():
        pairs = [(piece[:k], piece[k:]) for k in range(1, len(piece)) if piece[:k] in plain and piece[k:] in plain]
        merges += [(-spm.get_score(i), -len(a), -len(b), plain[a], plain[b], a, b) for a, b in pairs]
    merges.sort()  # of equal scores (runs of spaces) the longest first, as sentencepiece grows them
    prepend = [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    undo = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]
    return _file(
        normalizer={"type": "Sequence", "normalizers": prepend},
        pre_tokenizer=None,
        decoder={"type": "Sequence", "decoders": undo},
        model={
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {p: i for i, p in enumerate(pieces)},
            "merges": [[a, b] for *_, a, b in merges],
        },
    )


def _tekken(path: Path) -> dict[str, object]:
    raw = json.loads(path.read_bytes())
    config = raw["config"]
    first = config["default_num_special_tokens"]
    ranks = [base64.b64decode(v["token_bytes"]) for v in raw["vocab"][: config["default_vocab_size"] - first]]
    by_bytes = {piece: rank for rank, piece in enumerate(ranks)}
    names = _byte_names()
    shown = ["".join(names[b] for b in piece) for piece in ranks]
    vocab = {f"<SPECIAL_{i}>": i for i in range(first)} | {name: first + i for i, name in enumerate(shown)}
    merges = []
    for rank, piece in enumerate(ranks):
        if len(piece) > 1:
            parts = _parts(piece, rank, by_bytes)
            if len(parts) == 2:
                merges.append(["".join(names[b] for b in part) for part in parts])
    split = {"type": "Split", "pattern": {"Regex": config["pattern"]}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return _file(
        normalizer=None,
        pre_tokenizer={"type": "Sequence", "pretokenizers": [split, level]},
        decoder={**level, "use_regex": True},
        model={
            "unk_token": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": vocab,
            "merges": merges,
        },
    )


def _file(*, model: dict[str, object], **parts: object) -> dict[str, object]:
    common = {"type": "BPE", "dropout": None, "continuing_subword_prefix": None, "end_of_word_suffix": None}
    empty = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "post_processor": None}
    return {**empty, **parts, "model": {**common, **model}}


def _parts(piece: bytes, limit: int, ranks: dict[bytes, int]) -> list[bytes]:
    """What byte-rank merging makes of a piece with the merges before `limit` only."""
    parts = [piece[i : i + 1] for i in range(len(piece))]
    while len(parts) > 2:
        found = [(ranks.get(parts[i] + parts[i + 1], limit), i) for i in range(len(parts) - 1)]
        rank, i = min(found)
        if rank >= limit:
            break
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


def _byte_names() -> list[str]:
    """GPT-2's printable stand-in for each byte: itself where printable, the others from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    names, spare = [], 0x100
    for byte in range(256):
        names.append(chr(byte if byte in printable else spare))
        spare += byte not in printable
    return names
