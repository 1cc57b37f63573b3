"""Golden cases: requests with the ids, or the error, that mistral-common 1.13.1 gives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chat_support import ALL_CASES, BUNDLED, CASES, DERIVED, cases, matches, ours, run

EXPECTED = ("ids", "prefix_ids", "images", "audios", "pieces")


def problems(case: dict[str, Any]) -> str | None:
    """What is wrong with our answer, or None."""
    try:
        found = run(case, ours(case["variant"], case["mode"]))
    except Exception as error:
        if case["ok"]:
            return f"{type(error).__name__}: {error}"
        return None if matches(error, case["error"]) else f"{case['error']} expected, got {error!r}"
    if not case["ok"]:
        return f"{case['error']} expected ({case['message'][:80]}), got {found}"
    wanted = {key: case[key] for key in EXPECTED if case.get(key) is not None}
    if case["kind"] == "decode":
        wanted = {"text": case["text"]}
    return None if found == wanted else f"{found} instead of {wanted}"


def check(chosen: list[dict[str, Any]]) -> None:
    wrong = [(case["id"], case["mode"], found) for case in chosen if (found := problems(case))]
    assert chosen and not wrong, f"{len(wrong)} of {len(chosen)}: {wrong[:3]}"


@pytest.mark.parametrize("variant", [*BUNDLED, *DERIVED])
def test_cases(variant: str) -> None:
    """The subset in this repository."""
    check([case for case in cases() if case["variant"] == variant])


@pytest.mark.skipif(not ALL_CASES.exists(), reason="the whole collection is not beside this checkout")
def test_all_cases() -> None:
    """All 22,756 cases."""
    chosen = cases(ALL_CASES)
    assert len(chosen) == 22_756
    check(sorted(chosen, key=lambda case: (case["variant"], case["mode"])))


def test_subset_is_broad() -> None:
    """The subset knows every kind of request, every variant, every mode and every error class."""
    chosen = cases(CASES)
    assert {case["variant"] for case in chosen} == {*BUNDLED, *DERIVED}
    assert {case["mode"] for case in chosen if case["kind"] == "chat"} == {"serving", "finetuning", "test", "agnostic"}
    assert len({case.get("error") for case in chosen}) >= 15
    assert CASES.stat().st_size < 2_000_000
