"""A fixed vocabulary under code that was written for tokenizers to which tokens can be added."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mistral_tok import MistralCommonTokenizer
from mistral_tok.load import bundled_path

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}, {"role": "user", "content": "What?"}]


@pytest.fixture(params=["v3", "v3-tekken"])
def tokenizer(request: pytest.FixtureRequest) -> MistralCommonTokenizer:
    return MistralCommonTokenizer(bundled_path(request.param))


def test_what_is_there_can_be_added_again(tokenizer: MistralCommonTokenizer) -> None:
    size = len(tokenizer)
    assert tokenizer.add_tokens("[INST]") == tokenizer.add_tokens(["[INST]", "</s>"], special_tokens=True) == 0
    assert tokenizer.add_special_tokens({"pad_token": "</s>", "bos_token": "<s>"}) == 0
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert tokenizer.add_special_tokens({"additional_special_tokens": ["[INST]", "[/INST]"]}) == 0
    tokenizer.eos_token = "</s>"
    assert len(tokenizer) == size


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: t.add_tokens(["<new>"]), r"\['<new>'\] are no tokens of this vocabulary"),
        (lambda t: t.add_tokens(["Hello"], special_tokens=True), "are no control tokens|are no tokens"),
        (lambda t: t.add_special_tokens({"pad_token": "[PAD]"}), "cannot be added"),
        (lambda t: t.add_special_tokens({"eos_token": "[INST]"}), "eos_token is '</s>' in this vocabulary"),
        (lambda t: t.add_special_tokens({"mask_token": "<mask>"}), "no role 'mask_token'"),
        (lambda t: t.add_special_tokens({"additional_special_tokens": ["<tool>"]}), "<tool>"),
        (lambda t: setattr(t, "bos_token", "</s>"), "bos_token is '<s>'"),
        (lambda t: setattr(t, "unk_token", "</s>"), "unk_token is '<unk>'"),
        (lambda t: t("a", return_token_type_ids=True), "return_token_type_ids.*one kind of text"),
        (lambda t: t("a", split_special_tokens=False), "split_special_tokens.*never come from text"),
        (lambda t: t.apply_chat_template(CHAT, tokenizer_kwargs={"foo": 1}), "tokenizer_kwargs"),
        (lambda t: t.apply_chat_template(CHAT, sanitize_control_tokens=False), "never come from messages"),
        (
            lambda t: type(t).from_pretrained(bundled_path("v3"), add_eos_token=True),
            'add_eos_token.*mode="finetuning"',
        ),
    ],
)
def test_what_is_new_is_refused(tokenizer: MistralCommonTokenizer, call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(tokenizer)


def test_roles_and_tables(tokenizer: MistralCommonTokenizer) -> None:
    assert (tokenizer.cls_token, tokenizer.sep_token_id, tokenizer.mask_token) == (None, None, None)
    others = tokenizer.additional_special_tokens
    assert "[INST]" in others
    assert not {"<s>", "</s>", "<unk>"} & set(others)
    assert tokenizer.convert_tokens_to_ids(others) == tokenizer.additional_special_tokens_ids
    assert tokenizer.added_tokens_encoder["[INST]"] == 3
    assert tokenizer.get_added_vocab() == tokenizer.added_tokens_encoder
    assert tokenizer.vocab == tokenizer.get_vocab()
    assert (tokenizer.add_bos_token, tokenizer.add_eos_token) == (True, False)
    assert MistralCommonTokenizer(bundled_path("v3"), mode="finetuning").add_eos_token
    tokenizer.model_max_length = 8
    assert tokenizer.max_len_single_sentence == 7
    assert tokenizer.create_token_type_ids_from_sequences([5, 6]) == [0, 0, 0]


def test_tokens_become_text_again(tokenizer: MistralCommonTokenizer) -> None:
    for text in ("Hello there", "é 日本", "a\nb"):
        assert tokenizer.convert_tokens_to_string(tokenizer.tokenize(text)) == text
    assert "[INST]" in tokenizer.convert_tokens_to_string(["[INST]", *tokenizer.tokenize("Hi")])


def test_arguments_that_change_nothing_are_accepted(tokenizer: MistralCommonTokenizer, tmp_path: Path) -> None:
    plain = dict(tokenizer("Hi"))
    assert dict(tokenizer("Hi", return_token_type_ids=False, split_special_tokens=True, verbose=False)) == plain
    assert tokenizer.decode([5000], spaces_between_special_tokens=False) == tokenizer.decode([5000])
    assert tokenizer.batch_decode([[5000]], spaces_between_special_tokens=True) == tokenizer.batch_decode([[5000]])
    ids = tokenizer.apply_chat_template(CHAT)
    for source in (None, tokenizer.chat_template):
        assert tokenizer.apply_chat_template(CHAT, chat_template=source, sanitize_control_tokens=True) == ids
    found = MistralCommonTokenizer.from_pretrained(bundled_path("v3"), use_fast=True, legacy=False, pad_token="</s>")
    assert found.pad_token == "</s>"
    assert found.save_vocabulary(tmp_path) == found.save_pretrained(tmp_path, legacy_format=False)


def test_texts_come_in_many_containers(tokenizer: MistralCommonTokenizer) -> None:
    expected = tokenizer(["a", "b c"])["input_ids"]

    class Column(list[str]):
        """A column of a table."""

    def texts() -> Iterator[str]:
        yield from ("a", "b c")

    for form in (("a", "b c"), np.array(["a", "b c"]), Column(["a", "b c"]), texts()):
        assert tokenizer(form)["input_ids"] == expected
    assert tokenizer(np.array([[5000, 5001]]))["input_ids"] == tokenizer([[5000, 5001]])["input_ids"]
    assert tokenizer(np.array([5000, 5001]))["input_ids"] == tokenizer([5000, 5001])["input_ids"]


def test_what_a_batch_knows(tokenizer: MistralCommonTokenizer) -> None:
    batch = tokenizer(["Hello there", "Hi"], padding=True, padding_side="right")
    assert batch.sequence_ids(0) == [None, *[0] * (len(batch["input_ids"][0]) - 1)]
    known = [0 if mask and at else None for at, mask in enumerate(batch["attention_mask"][1])]
    assert batch.sequence_ids(1) == known
    assert tokenizer("Hi").sequence_ids() == [None, 0]
    assert (batch.is_fast, batch.encodings) == (False, None)


def test_batches_of_conversations_take_the_shape_that_is_asked_for(tokenizer: MistralCommonTokenizer) -> None:
    shape = {"padding": True, "padding_side": "right", "pad_to_multiple_of": 8}
    batch = tokenizer.apply_chat_template([CHAT, CHAT[:1]], return_dict=True, tokenizer_kwargs=shape)
    assert {len(row) % 8 for row in batch["input_ids"]} == {0}
    assert batch["attention_mask"][1][0] == 1
    assert batch["attention_mask"][1][-1] == 0
