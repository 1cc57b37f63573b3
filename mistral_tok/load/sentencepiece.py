"""SentencePiece `.model` (BPE with byte fallback) → Vocabulary.

The message layout is that of `sentencepiece_model.proto`. The sentencepiece package is not used: its Python API shows
neither the normaliser's nor the trainer's settings, on which exactness depends.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mistral_tok.errors import VocabularyError
from mistral_tok.load.protobuf import expect_bytes, expect_float, expect_int, fields
from mistral_tok.load.source import Source, damaged, refused
from mistral_tok.load.spm_pieces import Pieces, contents, control_names, find, ranks
from mistral_tok.load.versions import IMAGE_M1, sentencepiece_version
from mistral_tok.vocab import MAX_PIECES, Kind, Vocabulary

_BPE = 2
_MODEL_TYPES = {1: "unigram", 3: "word", 4: "char"}
_UNK_SURFACE = " \u2047 "
_ONLY_BPE = "Only BPE models with byte fallback and the identity normaliser are read, as Mistral and Llama use them."
_USE_OFFICIAL = "Use the sentencepiece package for this file."


@dataclass(slots=True)
class _Trainer:
    """The settings of `TrainerSpec` that bear on encoding, with the defaults of the format."""

    model_type: int = 1
    whitespace_as_suffix: bool = False
    byte_fallback: bool = False
    unk_surface: str = _UNK_SURFACE
    names: dict[str, str] = field(
        default_factory=lambda: {"unk": "<unk>", "bos": "<s>", "eos": "</s>", "pad": "<pad>"},
    )


@dataclass(slots=True)
class _Normalizer:
    """The settings of `NormalizerSpec`, with the defaults of the format."""

    char_map: bytes = b""
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True


@dataclass(slots=True)
class _Model:
    pieces: Pieces
    trainer: _Trainer
    normalizer: _Normalizer
    denormalizer: _Normalizer


def read(source: Source) -> Vocabulary:
    """Parse a SentencePiece model; VocabularyError if it is damaged or cannot be encoded exactly."""
    name = source.name
    model = _parse(source.data, name)
    _check_settings(model, name)
    pieces = model.pieces
    if pieces.kinds.count(Kind.UNKNOWN) != 1:
        raise damaged(name, "pieces", f"{pieces.kinds.count(Kind.UNKNOWN)} unknown pieces instead of 1")
    names = control_names(pieces, name, _USE_OFFICIAL)
    roles = model.trainer.names
    version = sentencepiece_version(names.keys(), source.version)
    return Vocabulary(
        name=name,
        family="sentencepiece",
        version=version,
        pieces=contents(pieces, name),
        kinds=bytes(pieces.kinds),
        ranks=ranks(pieces, name),
        prefix="always" if model.normalizer.add_dummy_prefix else "never",
        config=_config(source, model.trainer, names),
        unk_id=find(pieces, roles["unk"], Kind.UNKNOWN),
        bos_id=find(pieces, roles["bos"], Kind.CONTROL),
        eos_id=find(pieces, roles["eos"], Kind.CONTROL),
        pad_id=find(pieces, roles["pad"], Kind.CONTROL),
    )


def _parse(data: bytes, name: str) -> _Model:
    """Split the outer message. A repeated settings message adds to the first, as the format prescribes."""
    messages: list[bytes] = []
    trainer, normalizer, denormalizer = bytearray(), bytearray(), bytearray()
    parts = {2: trainer, 3: normalizer, 5: denormalizer}
    for item in fields(data, name, "model"):
        number = item[0]
        if number == 1:
            if len(messages) == MAX_PIECES:
                raise refused(name, "pieces", f"more than {MAX_PIECES} pieces", "No published vocabulary has so many.")
            messages.append(expect_bytes(item, name, f"piece {len(messages)}"))
        elif number in parts:
            parts[number] += expect_bytes(item, name, "model")
    if not messages:
        raise damaged(name, "model", "no pieces")
    pieces = _read_pieces(messages, name)
    if not trainer:
        raise damaged(name, "model", "no trainer_spec")
    return _Model(
        pieces,
        _read_trainer(bytes(trainer), name),
        _read_normalizer(bytes(normalizer), name, "normalizer_spec"),
        _read_normalizer(bytes(denormalizer), name, "denormalizer_spec"),
    )


def _read_pieces(messages: Sequence[bytes], name: str) -> Pieces:
    texts: list[bytes] = []
    scores: list[float] = []
    kinds = bytearray()
    score_of = struct.Struct("<f").unpack_from
    for i, message in enumerate(messages):
        # All but a few pieces have one of two shapes: text and score (type NORMAL), or text, score and type, each
        # in one byte. The general reader takes ten times as long.
        size = message[1] if 7 < len(message) < 0x80 and message[0] == 0x0A else 0
        if size == len(message) - 7 > 0 and message[size + 2] == 0x15:
            text, score, kind = message[2:-5], score_of(message, size + 3)[0], 1
        elif (
            size == len(message) - 9 > 0 and message[size + 2] == 0x15 and message[-2] == 0x18 and 1 <= message[-1] <= 6
        ):
            text, score, kind = message[2:-7], score_of(message, size + 3)[0], message[-1]
        else:
            text, score, kind = _read_piece(message, name, f"piece {i}")
        if score != score:
            raise damaged(name, f"piece {i}", "its score is not a number")
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise damaged(name, f"piece {i}", f"{text[:40]!r} is not UTF-8") from error
        texts.append(text)
        scores.append(score)
        kinds.append(kind)
    return Pieces(texts, scores, kinds)


def _read_piece(message: bytes, name: str, place: str) -> tuple[bytes, float, int]:
    text, score, kind = b"", 0.0, int(Kind.NORMAL)
    for item in fields(message, name, place):
        if item[0] == 1:
            text = expect_bytes(item, name, place)
        elif item[0] == 2:
            score = expect_float(item, name, place)
        elif item[0] == 3:
            kind = expect_int(item, name, place)
            if not 1 <= kind <= 6:
                raise damaged(name, place, f"type {kind} is not one of 1 to 6")
    if not text:
        raise damaged(name, place, "the piece is empty")
    return text, score, kind


def _read_trainer(message: bytes, name: str) -> _Trainer:
    place, trainer = "trainer_spec", _Trainer()
    roles = {45: "unk", 46: "bos", 47: "eos", 48: "pad"}
    for item in fields(message, name, place):
        number = item[0]
        if number == 3:
            trainer.model_type = expect_int(item, name, place)
        elif number == 24:
            trainer.whitespace_as_suffix = bool(expect_int(item, name, place))
        elif number == 35:
            trainer.byte_fallback = bool(expect_int(item, name, place))
        elif number == 44:
            trainer.unk_surface = expect_bytes(item, name, place).decode(errors="replace")
        elif number in roles:
            trainer.names[roles[number]] = expect_bytes(item, name, place).decode(errors="replace")
    return trainer


def _read_normalizer(message: bytes, name: str, place: str) -> _Normalizer:
    normalizer = _Normalizer()
    for item in fields(message, name, place):
        number = item[0]
        if number == 2:
            normalizer.char_map = expect_bytes(item, name, place)
        elif number == 3:
            normalizer.add_dummy_prefix = bool(expect_int(item, name, place))
        elif number == 4:
            normalizer.remove_extra_whitespaces = bool(expect_int(item, name, place))
        elif number == 5:
            normalizer.escape_whitespaces = bool(expect_int(item, name, place))
    return normalizer


def _check_settings(model: _Model, name: str) -> None:
    """Refuse every setting under which the ids would differ from SentencePiece's."""
    trainer, normalizer = model.trainer, model.normalizer
    if trainer.model_type != _BPE:
        kind = _MODEL_TYPES.get(trainer.model_type, f"type {trainer.model_type}")
        raise refused(name, "trainer_spec.model_type", f"a {kind} model, not BPE", f"{_ONLY_BPE} {_USE_OFFICIAL}")
    checks = (
        (trainer.byte_fallback, "trainer_spec.byte_fallback", "the model has no byte fallback"),
        (not trainer.whitespace_as_suffix, "trainer_spec.treat_whitespace_as_suffix", "spaces end words in it"),
        (not normalizer.char_map, "normalizer_spec.precompiled_charsmap", "the model rewrites characters"),
        (not model.denormalizer.char_map, "denormalizer_spec", "the model rewrites characters when it decodes"),
        (normalizer.escape_whitespaces, "normalizer_spec.escape_whitespaces", "spaces are not escaped"),
        (not normalizer.remove_extra_whitespaces, "normalizer_spec.remove_extra_whitespaces", "it drops spaces"),
    )
    for fine, place, problem in checks:
        if not fine:
            raise refused(name, place, problem, f"{_ONLY_BPE} {_USE_OFFICIAL}")


def _config(source: Source, trainer: _Trainer, names: Iterable[str]) -> dict[str, object]:
    """Image settings, and the text to which the unknown piece decodes where it is not the usual one."""
    config: dict[str, object] = {} if trainer.unk_surface == _UNK_SURFACE else {"unk_surface": trainer.unk_surface}
    if not source.images:
        return config
    missing = [name for name in ("[IMG]", "[IMG_BREAK]", "[IMG_END]") if name not in names]
    if missing:
        problem = f"the suffix m1 promises images, but the file has no piece {missing[0]}"
        raise VocabularyError(f"{source.name}: {problem}. Rename the file, or use the v7 vocabulary.")
    return {**config, "image": dict(IMAGE_M1)}
