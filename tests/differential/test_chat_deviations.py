"""The table of deviations holds: the reference does what it says, and so do we."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chat_deviations import CRASHES, FOLLOWED, Row
from chat_reference import answer
from chat_support import matches, ours, run

from mistral_tok import errors
from mistral_tok.chat import schema
from mistral_tok.chat.refusals import UnreadableJsonException


def case(row: Row) -> dict[str, Any]:
    request = {"model": "m", **row.request} if row.kind == "chat" else row.request
    return {"variant": row.variant, "mode": "test", "kind": row.kind, "request": request, "max_model_input_len": 44}


def our_answer(row: Row) -> Any:
    try:
        return run(case(row), ours(row.variant))
    except Exception as error:
        return error


def kind(name: str) -> type:
    found = (
        getattr(errors, name, None)
        or getattr(schema, name, None)
        or {"UnreadableJsonException": UnreadableJsonException}[name]
    )
    assert issubclass(found, errors.MistralCommonException)
    return found


@pytest.mark.parametrize("row", CRASHES, ids=[row.topic for row in CRASHES])
def test_deviations(row: Row) -> None:
    """The reference crashes or lets pass; we refuse by one of our own classes, or accept."""
    expected = row.reference if isinstance(row.reference, dict) else {"error": row.reference}
    assert answer(case(row)) == expected
    found = our_answer(row)
    if isinstance(row.ours, str):
        assert isinstance(found, kind(row.ours)), found
    else:
        assert found == row.ours


@pytest.mark.parametrize("row", FOLLOWED, ids=[row.topic for row in FOLLOWED])
def test_followed(row: Row) -> None:
    """Oddities of the reference that we share."""
    theirs = answer(case(row))
    if isinstance(row.reference, str):
        assert theirs == {"error": row.reference}
        assert matches(our_answer(row), row.reference)
    else:
        assert row.reference == {"error": None} or theirs == row.reference
        assert "error" not in theirs and our_answer(row) == theirs


def test_another_file_name_is_not_another_version(tmp_path: Path) -> None:
    """The reference takes the version of a SentencePiece file from its name; we take it from its pieces."""
    from chat_support import variant_path
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer as Theirs

    from mistral_tok.mistral import MistralTokenizer

    path = tmp_path / "x.model.v7"
    path.write_bytes(variant_path("v2").read_bytes())
    assert Theirs.from_file(path).version == "v7"
    assert MistralTokenizer.from_file(path).version == "v2"
    with pytest.raises(errors.TokenizerException, match="Tekken"):
        MistralTokenizer.from_file(path, version="v13")
