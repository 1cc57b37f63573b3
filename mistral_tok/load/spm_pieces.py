"""Pieces with scores → what a Vocabulary of SentencePiece's family needs, whatever file they come from."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from mistral_tok.load.source import damaged, refused
from mistral_tok.vocab import NEVER, SPACE, Kind


@dataclass(slots=True)
class Pieces:
    """Texts as the file spells them (`<0x41>` for a byte), scores, and kinds, by id."""

    texts: list[bytes]
    scores: list[float]
    kinds: bytearray


def control_names(pieces: Pieces, name: str, remedy: str) -> dict[str, int]:
    """Refuse pieces whose meaning depends on the order of SentencePiece's look-ups; return the control names.

    SentencePiece looks a symbol up among control, unknown and byte pieces first. A reserved piece of one
    character, or one that a normal piece repeats, would turn text into a reserved id.
    """
    kinds = pieces.kinds
    normal = {text for text, kind in zip(pieces.texts, kinds, strict=True) if kind == Kind.NORMAL}
    controls: dict[str, int] = {}
    for i, (text, kind) in enumerate(zip(pieces.texts, kinds, strict=True)):
        if kind == Kind.NORMAL:
            continue
        place, shown = f"piece {i}", text.decode()
        if kind == Kind.UNUSED:
            raise refused(name, place, f"{shown!r} is of type UNUSED", remedy)
        if kind == Kind.USER_DEFINED:
            if SPACE in shown or " " in shown:
                raise refused(name, place, f"user-defined {shown!r} holds a space", remedy)
        elif len(shown) == 1 or text in normal:
            raise refused(name, place, f"reserved {shown!r} can be met in ordinary text", remedy)
        elif kind == Kind.CONTROL:
            controls[shown] = i
    return controls


def contents(pieces: Pieces, name: str) -> tuple[bytes, ...]:
    """The pieces as a Vocabulary holds them: a byte piece is its byte."""
    return tuple(
        bytes([_byte_value(text, i, name)]) if kind == Kind.BYTE else text
        for i, (text, kind) in enumerate(zip(pieces.texts, pieces.kinds, strict=True))
    )


def _byte_value(text: bytes, i: int, name: str) -> int:
    """65 for `<0x41>`, spelled exactly so."""
    try:
        value = int(text[3:5], 16)
    except ValueError:
        value = -1
    if text != b"<0x%02X>" % max(value, 0) or value < 0:
        raise damaged(name, f"piece {i}", f"byte piece {text[:40]!r} is not of the form <0x41>")
    return value


def ranks(pieces: Pieces, name: str) -> array[int]:
    """Dense ranks of the normal pieces, best score first; equal scores share a rank and merge from the left.

    User-defined pieces get none: they are cut out of the text before merging, wherever they occur, so that no merge
    ever meets one whole.
    """
    scores = (score for score, kind in zip(pieces.scores, pieces.kinds, strict=True) if kind == Kind.NORMAL)
    order = {score: rank for rank, score in enumerate(sorted(set(scores), reverse=True))}
    if not order:
        raise damaged(name, "pieces", "not one normal piece")
    return array(
        "I",
        (order[s] if k == Kind.NORMAL else NEVER for s, k in zip(pieces.scores, pieces.kinds, strict=True)),
    )


def find(pieces: Pieces, text: str, kind: Kind) -> int | None:
    """The id of the piece of this text and kind, the first of several."""
    wanted = text.encode()
    for i, (other, other_kind) in enumerate(zip(pieces.texts, pieces.kinds, strict=True)):
        if other_kind == kind and other == wanted:
            return i
    return None
