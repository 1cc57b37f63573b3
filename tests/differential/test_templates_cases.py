"""The templates on board against the encoder: the same ids, refusals and masks on the case list."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chat_support import ALL_CASES, CASES, cases, expand, ours, vocabulary
from template_support import expressible, split_request, template

from mistral_tok.templates import TemplateException

MODES = ("test", "agnostic", "finetuning")
VARIANTS = ("v1", "v2", "v3", "v3-tekken", "v7", "v7-tekken", "v11", "v13", "v13-think-mm", "v15", "v15-think-mm")


def check(path: Path, variant: str) -> int:
    """Compare every case of a variant; the number of those that were."""
    wrong, count = [], 0
    for case in cases(path):
        if case["variant"] != variant or case["mode"] not in MODES or not expressible(case):
            continue
        messages, tools, rest = split_request(case["request"])
        count += 1
        try:
            found = template(variant, case["mode"]).encode(vocabulary(variant), messages, tools=tools, **rest)
        except TemplateException as error:
            if case["ok"]:
                wrong.append((case["id"], str(error)))
            continue
        if not case["ok"] or found.ids != case["ids"]:
            wrong.append((case["id"], found.text))
    assert not wrong, f"{len(wrong)} of {count}: {wrong[:3]}"
    return count


@pytest.mark.parametrize("variant", VARIANTS)
def test_ids_equal_the_reference(variant: str) -> None:
    assert check(CASES, variant) > 10


@pytest.mark.skipif(not ALL_CASES.exists(), reason="the whole collection is not beside this checkout")
@pytest.mark.parametrize("variant", VARIANTS)
def test_ids_equal_the_reference_on_all_cases(variant: str) -> None:
    assert check(ALL_CASES, variant) > 400


@pytest.mark.parametrize("variant", VARIANTS)
def test_masks_equal_the_encoder(variant: str) -> None:
    count = 0
    for case in cases(CASES):
        if case["variant"] != variant or case["mode"] != "agnostic" or not case["ok"] or not expressible(case):
            continue
        messages, tools, rest = split_request(case["request"])
        found = template(variant, "agnostic", True).encode(vocabulary(variant), messages, tools=tools, **rest)
        encoded = ours(variant, "agnostic").encode_chat_completion(expand(case["request"]))
        assert found.ids == encoded.tokens
        assert found.assistant_mask == encoded.assistant_mask, case["id"]
        count += 1
    assert count > 5
