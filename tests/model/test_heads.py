"""The heads' logits and losses equal transformers'; outputs are read by name and by index."""

from __future__ import annotations

import pytest
import torch
from mistral_tok.model import ConfigError, MistralConfig, MistralForSequenceClassification, ModelError

from .pairs import EXACT, SMALL, padded, pair, random_ids, small

pytest.importorskip("transformers", minversion="4.56")

PROBLEMS = {
    "regression": (1, torch.tensor([0.5, -1.0, 2.0])),
    "many regressions": (3, torch.randn(3, 3)),
    "single label": (4, torch.tensor([0, 3, 1])),
    "multi label": (3, torch.tensor([[1.0, 0, 1], [0, 0, 1], [1, 1, 1]])),
}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_sequence_classification(problem: str, side: str) -> None:
    count, labels = PROBLEMS[problem]
    kind = "regression" if problem == "many regressions" else None
    ours, theirs = pair("MistralForSequenceClassification", num_labels=count, problem_type=kind)
    ids, mask = padded([9, 5, 7], side)
    expected = theirs(ids, attention_mask=mask, labels=labels)
    for out in (ours(ids, attention_mask=mask, labels=labels), ours(ids, mask, labels=labels)):
        torch.testing.assert_close(out.logits, expected.logits, **EXACT)
        torch.testing.assert_close(out.loss, expected.loss, **EXACT)
    if side == "right":  # the padding id alone finds the last token; causal attention hides the padding after it
        torch.testing.assert_close(ours(ids).logits, expected.logits, **EXACT)


def test_sequence_classification_needs_to_know_the_padding() -> None:
    model = MistralForSequenceClassification(MistralConfig(**{**SMALL, "pad_token_id": None})).eval()
    ids = random_ids(2, 4)
    with pytest.raises(ModelError, match="attention_mask"):
        model(ids)
    assert model(ids, attention_mask=torch.ones(2, 4)).logits.shape == (2, 2)
    assert model(ids[:1]).logits.shape == (1, 2)


def test_token_classification() -> None:
    ours, theirs = pair("MistralForTokenClassification", num_labels=5)
    ids, mask = padded([9, 5], "right")
    labels = (ids % 5).masked_fill(mask == 0, -100)
    a, b = ours(ids, mask, labels=labels), theirs(ids, attention_mask=mask, labels=labels)
    torch.testing.assert_close(a.loss, b.loss, **EXACT)
    torch.testing.assert_close(a.logits[mask.bool()], b.logits[mask.bool()], **EXACT)


def test_question_answering() -> None:
    ours, theirs = pair("MistralForQuestionAnswering")
    ids = random_ids(3, 8)
    starts, ends = torch.tensor([1, 0, 99]), torch.tensor([[3], [7], [2]])  # 99 lies outside and does not count
    a = ours(ids, start_positions=starts, end_positions=ends)
    b = theirs(ids, start_positions=starts, end_positions=ends)
    torch.testing.assert_close(a.loss, b.loss, **EXACT)
    torch.testing.assert_close(a.start_logits, b.start_logits, **EXACT)
    torch.testing.assert_close(a.end_logits, b.end_logits, **EXACT)


def test_backbone() -> None:
    ours, theirs = pair("MistralModel", sliding_window=4)
    ids = random_ids(2, 9)
    torch.testing.assert_close(ours(ids)[0], theirs(ids)[0], **EXACT)


def test_causal_loss_over_accumulated_items_and_ignored_labels() -> None:
    ours, theirs = pair()
    ids = random_ids(2, 9)
    labels = ids.clone()
    labels[:, :4] = -100
    for items in (None, 7, torch.tensor(20)):
        a = ours(ids, labels=labels, num_items_in_batch=items).loss
        b = theirs(ids, labels=labels, num_items_in_batch=items).loss
        torch.testing.assert_close(a, b, **EXACT)


def test_outputs_by_name_index_and_slice() -> None:
    model = small()
    out = model(random_ids(1, 4), use_cache=False)
    assert out.keys() == ("logits",)
    assert out[0] is out.logits is out["logits"]
    assert out[:1] == (out.logits,)
    with pytest.raises(KeyError, match="loss"):
        out["loss"]
    labelled = model(random_ids(1, 4), labels=random_ids(1, 4))
    assert labelled[0] is labelled.loss
    assert labelled.to_tuple()[1] is labelled.logits
    assert labelled.past_key_values.get_seq_length() == 4


def test_arguments_that_do_not_fit() -> None:
    model = small()
    ids = random_ids(2, 4)
    with pytest.raises(ModelError, match="exactly one"):
        model()
    with pytest.raises(ModelError, match="exactly one"):
        model(ids, inputs_embeds=torch.zeros(2, 4, 32))
    with pytest.raises(ModelError, match=r"\(2, 3\)"):
        model(ids, attention_mask=torch.ones(2, 3))
    with pytest.raises(ModelError, match="labels"):
        model(ids, labels=ids, logits_to_keep=1)
    with pytest.raises(ConfigError, match="flash"):
        model.set_attention("flash")
