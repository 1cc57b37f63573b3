"""Byte-level BPE as files spell it: pieces in GPT-2's byte alphabet, and merges that name them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from mistral_tok.load.hf_tokens import Tokens
from mistral_tok.load.source import damaged, refused
from mistral_tok.vocab import Kind

RESULTS = frozenset([Kind.NORMAL, Kind.USER_DEFINED])
"""Kinds of pieces that a merge may make."""

Merges = tuple[tuple[int, int, int], ...]
"""Ids of left part, right part and whole, in order of priority."""


def contents(tokens: Tokens, name: str, place: str, remedy: str) -> list[bytes]:
    """Bytes of the tokens, undoing GPT-2's alphabet for pieces of the model; single bytes get the kind BYTE."""
    to_latin = _latin_of_alphabet()
    pieces: list[bytes] = []
    for i, content in enumerate(tokens.contents):
        if tokens.kinds[i] != Kind.NORMAL:
            pieces.append(content.encode())
            continue
        try:
            piece = content.translate(to_latin).encode("latin-1")
        except UnicodeEncodeError as error:
            problem = f"{content[:40]!r} is not written in GPT-2's byte alphabet"
            raise refused(name, f"{place}, id {i}", problem, remedy) from error
        if len(piece) == 1:
            tokens.kinds[i] = Kind.BYTE
        pieces.append(piece)
    return pieces


def _latin_of_alphabet() -> dict[int, int]:
    """Code points of GPT-2's byte alphabet → the bytes that they stand for; other small code points → one past a byte.

    The alphabet shows printable Latin-1 characters as themselves and the remaining bytes, in order, from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [value for value in range(256) if value not in set(printable)]
    table = dict.fromkeys(others, 0xFFFD)
    table.update((0x100 + i, value) for i, value in enumerate(others))
    return table


def triples(
    lines: Iterable[tuple[int, str | tuple[str, str]]],
    ids: Mapping[str, int],
    kinds: bytes | bytearray,
    allowed: bytes,
    name: str,
    place: str,
    remedy: str,
) -> Iterator[tuple[int, int, int]]:
    """Yield the ids of each numbered merge: two pieces, or both in one string with a space between.

    `allowed` marks, by id, what may be a part. VocabularyError for what is no pair of pieces, or makes none.
    """
    for i, pair in lines:
        if isinstance(pair, str):
            left, _, right = pair.partition(" ")
            if not left or not right or " " in right:
                raise damaged(name, f"{place}[{i}]", f"{pair[:40]!r} is not two pieces with a space between")
        else:
            left, right = pair
        try:
            triple = (ids[left], ids[right], ids[left + right])
        except KeyError as error:
            problem = f"{str(error.args[0])[:40]!r} is no piece of the vocabulary"
            raise damaged(name, f"{place}[{i}]", problem) from error
        if not (allowed[triple[0]] and allowed[triple[1]] and kinds[triple[2]] in RESULTS):
            problem = f"{left[:40]!r} and {right[:40]!r} make or take a special token or a byte"
            raise refused(name, f"{place}[{i}]", problem, remedy)
        yield triple
