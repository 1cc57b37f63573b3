"""Ids of a Hugging Face `tokenizer.json`: its model's pieces and its added tokens, in one list.

Added tokens marked special become control pieces, which text never produces. The others are cut out of the text before
anything else happens, as SentencePiece's user-defined pieces are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from mistral_tok.load.source import damaged, refused
from mistral_tok.vocab import MAX_PIECES, Kind

_REMEDY = "Use the tokenizers package for this file, or the official file of the model."


class AddedToken(msgspec.Struct, gc=False):
    """One entry of `added_tokens`."""

    id: int
    content: str
    single_word: bool
    lstrip: bool
    rstrip: bool
    normalized: bool
    special: bool


@dataclass(frozen=True, slots=True)
class Tokens:
    """Content of every id, and what the added tokens say of it (NORMAL: a piece of the model)."""

    contents: list[str]
    kinds: bytearray
    ids: Mapping[str, int]


def number(vocab: Mapping[str, int], added: Sequence[AddedToken], name: str) -> Tokens:
    """Lay pieces and added tokens out by id; VocabularyError for gaps, repeats and contradictions."""
    if not 0 < len(vocab) + len(added) <= 2 * MAX_PIECES:
        raise refused(name, "$.model.vocab", f"{len(vocab)} pieces", f"Between 1 and {MAX_PIECES} are read.")
    ids = dict(vocab)
    kinds: dict[str, Kind] = {}
    for i, token in enumerate(added):
        place = f"$.added_tokens[{i}]"
        if token.content in kinds:
            raise damaged(name, place, f"{token.content!r} is listed twice")
        if ids.setdefault(token.content, token.id) != token.id:
            problem = f"{token.content!r} has id {token.id} here and {ids[token.content]} in the model"
            raise damaged(name, place, problem)
        if token.content not in vocab and token.id != len(ids) - 1:
            problem = f"{token.content!r} has id {token.id} where the next free one is {len(ids) - 1}"
            raise refused(name, place, problem, f"The tokenizers package would give it another id. {_REMEDY}")
        kinds[token.content] = Kind.CONTROL if token.special else Kind.USER_DEFINED
    contents: list[str | None] = [None] * len(ids)
    for content, i in ids.items():
        if not 0 <= i < len(contents):
            raise damaged(name, "$.model.vocab", f"{content[:40]!r} has id {i}, but there are {len(contents)} ids")
        if contents[i] is not None:
            raise damaged(name, "$.model.vocab", f"{content[:40]!r} and {contents[i]!r} share id {i}")
        contents[i] = content
    # As many contents as ids, all different and in range: no gap is left.
    complete = [content for content in contents if content is not None]
    return Tokens(complete, bytearray(kinds.get(content, Kind.NORMAL) for content in complete), ids)


def check_matching(added: Sequence[AddedToken], normalizes: bool, name: str) -> None:
    """Refuse added tokens whose place in a text cannot be told from their characters alone.

    Those are the ones that swallow spaces or want word boundaries, that are looked for after the text was rewritten,
    and those that overlap a special token, whose place is skipped even when special tokens are not parsed.
    """
    plain = [token for token in added if not token.special]
    for token in plain:
        place = f"$.added_tokens: {token.content!r}"
        if token.single_word or token.lstrip or token.rstrip:
            raise refused(name, place, "single_word, lstrip or rstrip is set", _REMEDY)
        if token.normalized and normalizes:
            raise refused(name, place, "it is looked for in normalised text", _REMEDY)
    if len({token.normalized for token in plain}) > 1:
        raise refused(name, "$.added_tokens", "they differ in `normalized`, so they are matched in two rounds", _REMEDY)
    if plain:
        special = [token.content for token in added if token.special and token.normalized == plain[0].normalized]
        clash = _overlap(special, [token.content for token in plain])
        if clash:
            raise refused(name, "$.added_tokens", f"special {clash[0]!r} overlaps {clash[1]!r}", _REMEDY)


def _overlap(specials: Iterable[str], plain: Sequence[str]) -> tuple[str, str] | None:
    """The first special token inside or at whose end one of `plain` begins."""
    starts = {text[:size]: text for text in plain for size in range(1, len(text) + 1)}
    whole = set(plain)
    sizes = sorted({len(text) for text in plain})
    for special in specials:
        for i in range(len(special)):
            if i and special[i:] in starts:
                return special, starts[special[i:]]
            for size in sizes:
                if special[i : i + size] in whole:
                    return special, special[i : i + size]
    return None
