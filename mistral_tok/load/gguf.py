"""The vocabulary inside a GGUF file → Vocabulary: tokenizer models `llama` (SentencePiece) and `gpt2` (byte level).

A file of a Mistral model gives the ids of the official vocabulary it was made from: SentencePiece files are encoded by
SentencePiece's rules, and Tekken files by Tekken's. Other byte-level files follow their listed merges.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

from mistral_tok.load.byte_level import RESULTS, Merges, contents, triples
from mistral_tok.load.gguf_head import Metadata, metadata
from mistral_tok.load.gguf_splits import Split, split_of
from mistral_tok.load.hf_tokens import Tokens
from mistral_tok.load.source import MAX_STEPS_BYTES, Source, damaged, refused
from mistral_tok.load.spm_pieces import Pieces, control_names, ranks
from mistral_tok.load.spm_pieces import contents as spm_contents
from mistral_tok.load.versions import control_version, sentencepiece_version
from mistral_tok.vocab import MAX_MERGES, MAX_PIECES, NEVER, Kind, Vocabulary

_KEY = "tokenizer.ggml."
_REMEDY = "Use the official vocabulary file or the tokenizer.json of the model."
_NO_ID = 0xFFFFFFFF
"""−1 as converters write it: there is no such token."""


def read(source: Source) -> Vocabulary:
    """Parse the metadata of a GGUF file; VocabularyError if it is damaged or holds what cannot be followed exactly."""
    head = metadata(source.data, source.name)
    model = head.text(_KEY + "model")
    readers: dict[str | None, Callable[[Metadata], Vocabulary]] = {"llama": _sentencepiece, "gpt2": _byte_level}
    if model not in readers:
        problem = "missing: the file holds no vocabulary" if model is None else f"{model[:40]!r}, not llama or gpt2"
        raise refused(source.name, _KEY + "model", problem, _REMEDY)
    return readers[model](head)


def _sentencepiece(head: Metadata) -> Vocabulary:
    name = head.name
    texts = head.byte_strings(_KEY + "tokens", MAX_PIECES)
    pieces = Pieces(texts, list(head.floats(_KEY + "scores")), _kinds(head, len(texts)))
    _check_sentencepiece(head, pieces)
    unk = _role(head, "unknown", len(texts))
    if unk is not None and pieces.kinds[unk] == Kind.CONTROL:  # some converters know no other reserved type
        pieces.kinds[unk] = Kind.UNKNOWN
    _reserve_unused(pieces, name)
    controls = control_names(pieces, name, _REMEDY)
    return Vocabulary(
        name=name,
        family="sentencepiece",
        version=sentencepiece_version(controls.keys()),
        pieces=spm_contents(pieces, name),
        kinds=bytes(pieces.kinds),
        ranks=ranks(pieces, name),
        prefix="always" if head.flag(_KEY + "add_space_prefix", True) else "never",
        unk_id=unk if unk is not None else _only(pieces.kinds, Kind.UNKNOWN),
        bos_id=_role(head, "bos", len(texts), controls.get("<s>")),
        eos_id=_role(head, "eos", len(texts), controls.get("</s>")),
        pad_id=_role(head, "padding", len(texts)),
        config=_config(head, add_bos=True),
    )


def _check_sentencepiece(head: Metadata, pieces: Pieces) -> None:
    """Refuse texts that are none, and what SentencePiece would do with them before encoding."""
    name = head.name
    if len(pieces.scores) != len(pieces.texts):
        raise damaged(name, _KEY + "scores", f"{len(pieces.scores)} for {len(pieces.texts)} tokens")
    first: dict[bytes, int] = {}
    for i, text in enumerate(pieces.texts):
        if first.setdefault(text, i) != i:
            raise damaged(name, f"{_KEY}tokens[{i}]", f"{text[:40]!r} is token {first[text]}, too")
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise damaged(name, f"{_KEY}tokens[{i}]", f"{text[:40]!r} is not UTF-8") from error
        if not text or pieces.scores[i] != pieces.scores[i]:
            raise damaged(name, f"{_KEY}tokens[{i}]", "the token is empty, or its score is not a number")
    if Kind.BYTE not in pieces.kinds:
        raise refused(name, _KEY + "token_type", "no token is a byte, so that there is no byte fallback", _REMEDY)
    if head.flag(_KEY + "remove_extra_whitespaces", False):
        raise refused(name, _KEY + "remove_extra_whitespaces", "the model drops spaces", _REMEDY)
    if len(head.integers(_KEY + "precompiled_charsmap")):
        raise refused(name, _KEY + "precompiled_charsmap", "the model rewrites characters", _REMEDY)


def _kinds(head: Metadata, count: int) -> bytearray:
    """Types of the tokens by id, in SentencePiece's numbers, which GGUF shares."""
    found = head.integers(_KEY + "token_type")
    if not count:
        raise refused(head.name, _KEY + "tokens", "missing or empty", _REMEDY)
    if len(found) != count:
        raise damaged(head.name, _KEY + "token_type", f"{len(found)} for {count} tokens")
    for i, kind in enumerate(found):
        if not 1 <= kind <= 6:
            raise damaged(head.name, f"{_KEY}token_type[{i}]", f"type {kind} is not one of 1 to 6")
    return bytearray(found.tolist())


def _reserve_unused(pieces: Pieces, name: str) -> None:
    """Make unused tokens (fillers such as `[PAD1]`) control tokens; refuse one that text could be merged into."""
    if Kind.UNUSED not in pieces.kinds:
        return
    mergeable = (Kind.NORMAL, Kind.UNUSED)
    known = {text.decode() for text, kind in zip(pieces.texts, pieces.kinds, strict=True) if kind in mergeable}
    for i, kind in enumerate(pieces.kinds):
        if kind == Kind.UNUSED:
            text = pieces.texts[i].decode()
            if any(text[:k] in known and text[k:] in known for k in range(1, len(text))):
                raise refused(name, f"{_KEY}tokens[{i}]", f"unused {text[:40]!r} can be met in ordinary text", _REMEDY)
            pieces.kinds[i] = Kind.CONTROL


def _byte_level(head: Metadata) -> Vocabulary:
    name = head.name
    split = split_of(head.text(_KEY + "pre"), _KEY + "pre", name)
    texts = head.strings(_KEY + "tokens", MAX_PIECES)
    kinds = _kinds(head, len(texts))
    ids = {text: i for i, text in enumerate(texts)}
    for i, text in enumerate(texts):
        if ids[text] != i or not text or kinds[i] == Kind.BYTE:
            problem = f"{text[:40]!r} is empty, listed twice, or of a type that byte-level files do not have"
            raise damaged(name, f"{_KEY}tokens[{i}]", problem)
    tokens = Tokens(texts, bytearray(kind if kind != Kind.UNUSED else Kind.CONTROL for kind in kinds), ids)
    pieces = contents(tokens, name, _KEY + "tokens", _REMEDY)
    lines = head.strings(_KEY + "merges", MAX_MERGES)
    order = _tekken_ranks(tokens, lines) if head.text(_KEY + "pre") == "tekken" else None
    absent = _absent_bytes(pieces, tokens.kinds)
    controls = {text for text, kind in zip(texts, kinds, strict=True) if kind == Kind.CONTROL}
    return Vocabulary(
        name=name,
        family="bytelevel" if order is None else "tekken",
        version=control_version(controls, byte_level=True),
        pieces=(*pieces, *absent),
        kinds=bytes(tokens.kinds) + bytes([Kind.BYTE]) * len(absent),
        ranks=order or array("I", [NEVER]) * (len(pieces) + len(absent)),
        merges=_merges(lines, tokens, name) if order is None else None,
        pattern=split.pattern,
        whole_pieces=split.whole_pieces,
        unk_id=_role(head, "unknown", len(texts)),
        bos_id=_role(head, "bos", len(texts)),
        eos_id=_role(head, "eos", len(texts)),
        pad_id=_role(head, "padding", len(texts)),
        config=_byte_level_config(head, split, len(absent), order is None),
    )


def _byte_level_config(head: Metadata, split: Split, absent: int, listed: bool) -> dict[str, object]:
    """`absent`: how many byte pieces at the end the file does not have; what they stand for is left out of the ids."""
    config = _config(head, add_bos=split.add_bos)
    if listed:
        config["format"] = "gguf"
    if absent:
        config["absent"] = absent
    return config


def _merges(lines: Sequence[str], tokens: Tokens, name: str) -> Merges:
    """Triples of ids in order of priority. A pair that is listed twice counts where it stands first."""
    allowed = bytes(kind in RESULTS or kind == Kind.BYTE for kind in tokens.kinds)
    merged: dict[int, tuple[int, int, int]] = {}
    for triple in triples(enumerate(lines), tokens.ids, tokens.kinds, allowed, name, _KEY + "merges", _REMEDY):
        merged.setdefault(triple[0] << 32 | triple[1], triple)
    return tuple(merged.values())


def _tekken_ranks(tokens: Tokens, lines: Sequence[str]) -> array[int] | None:
    """Ranks by id if the merges say no more than that any two pieces make a third, the lowest id first; else None.

    Converters write Tekken's ranks out as one merge for each way to part a piece, those of one piece in a row. Taken
    literally, the order inside a row would differ from Tekken's own rule, by which the leftmost merge comes first.
    """
    plain = (Kind.NORMAL, Kind.BYTE)
    known = {text for text, kind in zip(tokens.contents, tokens.kinds, strict=True) if kind in plain}
    order, rank, at = array("I", [NEVER]) * len(tokens.contents), 0, 0
    for i, (text, kind) in enumerate(zip(tokens.contents, tokens.kinds, strict=True)):
        if kind not in plain:
            continue
        ways = {f"{text[:k]} {text[k:]}" for k in range(1, len(text)) if text[:k] in known and text[k:] in known}
        if ways != set(lines[at : at + len(ways)]):
            return None
        at += len(ways)
        order[i], rank = rank, rank + 1
    return order if at == len(lines) else None


def _absent_bytes(pieces: Sequence[bytes], kinds: bytearray) -> list[bytes]:
    present = {piece for piece, kind in zip(pieces, kinds, strict=True) if kind == Kind.BYTE}
    return [byte for value in range(256) if (byte := bytes([value])) not in present]


def _only(kinds: bytearray, kind: Kind) -> int | None:
    return kinds.index(kind) if kinds.count(kind) == 1 else None


def _role(head: Metadata, role: str, count: int, usual: int | None = None) -> int | None:
    """The id that the file names for a role, or else the usual one."""
    key = f"{_KEY}{role}_token_id"
    found = head.integer(key)
    if found is None:
        return usual
    if found in (-1, _NO_ID):
        return None
    if not 0 <= found < count:
        raise damaged(head.name, key, f"{found} is not below {count}")
    return found


def _config(head: Metadata, *, add_bos: bool) -> dict[str, object]:
    """What a Vocabulary has no field for: whether BOS and EOS are usual, and the chat template."""
    config: dict[str, object] = {
        "add_bos": head.flag(_KEY + "add_bos_token", add_bos),
        "add_eos": head.flag(_KEY + "add_eos_token", False),
    }
    template = head.text("tokenizer.chat_template")
    if template is not None:
        if len(template) > MAX_STEPS_BYTES:
            problem, remedy = f"{len(template)} characters", f"At most {MAX_STEPS_BYTES} are read."
            raise refused(head.name, "tokenizer.chat_template", problem, remedy)
        config["chat_template"] = template
    return config
