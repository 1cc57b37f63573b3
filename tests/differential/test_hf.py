"""MistralCommonTokenizer against transformers' class of that name: every method; differences are those in the table."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hf_rules import rule
from hf_support import NAMES, VERSIONS, Peer, answers, calls, media_calls, python_of, same

ROWS: dict[str, dict[str, Any]] = tomllib.loads((Path(__file__).parent / "hf_differences.toml").read_text())
DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"  # shrinking asks the other process thousands of times
METHODS = (
    "__call__", "encode", "prepare_for_model", "pad", "truncate_sequences", "decode", "batch_decode", "tokenize",
    "convert_tokens_to_ids", "convert_ids_to_tokens", "get_special_tokens_mask", "build_inputs_with_special_tokens",
    "apply_chat_template",
)  # fmt: skip
PROPERTIES = (
    "bos_token", "eos_token", "unk_token", "pad_token", "bos_token_id", "eos_token_id", "unk_token_id", "pad_token_id",
    "vocab_size", "__len__", "model_input_names", "padding_side", "truncation_side", "mode", "all_special_ids",
    "all_special_tokens", "special_tokens_map", "num_special_tokens_to_add", "get_vocab", "chat_template",
)  # fmt: skip


@pytest.fixture(scope="module", params=VERSIONS)
def peer(request: pytest.FixtureRequest) -> Iterator[tuple[str, Peer]]:
    """A process with that version of transformers."""
    python = python_of(request.param)
    if python is None:
        pytest.skip(f"no environment for transformers {request.param}; see make_hf_environments.py")
    made = Peer(python)
    yield request.param, made
    made.close()


def covering(version: str, member: str) -> list[str]:
    """The rows that speak of a member in a version."""
    return [
        name
        for name, row in ROWS.items()
        if version in row["versions"] and (member in row["members"] or row["members"] == ["*"])
    ]


def unlisted(version: str, call: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]) -> str | None:
    """What is left of a difference after all rows that cover it; None if nothing."""
    for name in covering(version, call["member"]):
        if same(mine, theirs):
            return None
        found = rule(name)(call, mine, theirs)
        if found is not None:
            mine, theirs = found
    return None if same(mine, theirs) else f"{json.dumps(call)}\nours:   {mine}\ntheirs: {theirs}"


@pytest.mark.parametrize("member", METHODS)
def test_random_calls_differ_as_listed(peer: tuple[str, Peer], member: str) -> None:
    version, process = peer

    @settings(phases=[Phase.generate, *([Phase.shrink] if DEEP else [])])
    @given(calls(member))
    def compare(call: dict[str, Any]) -> None:
        assert (left := unlisted(version, call, *answers(process, call))) is None, left

    compare()


def test_random_media_differ_as_listed(peer: tuple[str, Peer]) -> None:
    for module in ("PIL", "cv2", "soundfile", "soxr"):
        pytest.importorskip(module)
    version, process = peer

    @settings(phases=[Phase.generate, *([Phase.shrink] if DEEP else [])])
    @given(media_calls())
    def compare(call: dict[str, Any]) -> None:
        assert (left := unlisted(version, call, *answers(process, call))) is None, left[:3000]

    compare()


@pytest.mark.parametrize("member", PROPERTIES)
@pytest.mark.parametrize("name", NAMES)
def test_properties_differ_as_listed(peer: tuple[str, Peer], name: str, member: str) -> None:
    version, process = peer
    call = {"file": name, "member": member}
    assert (left := unlisted(version, call, *answers(process, call))) is None, left[:2000]


@pytest.mark.parametrize("name", ROWS)
def test_every_row_of_the_table_is_true(peer: tuple[str, Peer], name: str) -> None:
    version, process = peer
    if version not in ROWS[name]["versions"]:
        pytest.skip("the row is about another version")
    if "{" in str(ROWS[name]["example"].get("args")):
        for module in ("PIL", "cv2", "soundfile", "soxr"):
            pytest.importorskip(module)
    call = {"args": [], "kwargs": {}, **ROWS[name]["example"]}
    mine, theirs = answers(process, call)
    assert not same(mine, theirs), "there is no difference any more"
    assert unlisted(version, call, mine, theirs) is None
    assert rule(name)(call, mine, theirs) is not None


@pytest.mark.parametrize("name", ROWS)
def test_rows_say_everything(name: str) -> None:
    assert ROWS[name].keys() == {"versions", "members", "theirs", "ours", "why", "example"}
    assert set(ROWS[name]["versions"]) <= set(VERSIONS)
