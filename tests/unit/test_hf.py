"""MistralCommonTokenizer: what each method gives, and what it refuses."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mistral_tok import BatchEncoding, MistralCommonTokenizer, VocabularyError
from mistral_tok.chat.schema import ChatCompletionRequest, UserMessage
from mistral_tok.errors import MistralCommonException
from mistral_tok.load import bundled_path

CHAT = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Yo"},
    {"role": "user", "content": "What?"},
]


@cache
def opened(name: str = "v3", mode: str = "test") -> MistralCommonTokenizer:
    return MistralCommonTokenizer(bundled_path(name), mode=mode)


@pytest.fixture(params=["v3", "v3-tekken"])
def tokenizer(request: pytest.FixtureRequest) -> MistralCommonTokenizer:
    return opened(request.param)


def test_special_tokens_go_around_texts() -> None:
    assert opened().encode("Hello") == [1, 23325]
    assert opened(mode="finetuning").encode("Hello") == [1, 23325, 2]
    assert opened(mode="serving").encode("Hello") == [1, 23325]
    assert opened(mode="finetuning").encode("Hello", add_special_tokens=False) == [23325]
    assert opened().encode("<s>", add_special_tokens=False) != [1]


def test_a_batch_is_padded_on_either_side() -> None:
    texts = ["Hello", "Hello there"]
    left = opened()(texts, padding=True, return_special_tokens_mask=True, return_offsets_mapping=True)
    assert left["input_ids"] == [[0, 1, 23325], [1, 23325, 1504]]
    assert left.attention_mask == [[0, 1, 1], [1, 1, 1]]
    assert left.special_tokens_mask == [[1, 1, 0], [1, 0, 0]]
    assert left.offset_mapping == [[(0, 0), (0, 0), (0, 5)], [(0, 0), (0, 5), (5, 11)]]
    right = opened()(texts, padding="max_length", max_length=4, pad_to_multiple_of=3, padding_side="right")
    assert right.input_ids == [[1, 23325, 0, 0, 0, 0], [1, 23325, 1504, 0, 0, 0]]
    assert right.attention_mask == [[1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]]


@pytest.mark.parametrize("kind", ["np", "pt"])
def test_tensors_say_what_lists_say(tokenizer: MistralCommonTokenizer, kind: str) -> None:
    if kind == "pt":
        pytest.importorskip("torch")
    options: dict[str, Any] = {"padding": True, "truncation": True, "max_length": 3, "return_length": True,
                               "return_special_tokens_mask": True, "return_offsets_mapping": True}  # fmt: skip
    texts = ["one two three four", "", "one"]
    lists, tensors = tokenizer(texts, **options), tokenizer(texts, return_tensors=kind, **options)
    assert lists.keys() == tensors.keys()
    for name, value in tensors.items():
        expected = lists[name]
        if name == "offset_mapping":
            expected = [[list(pair) for pair in row] for row in expected]
        assert value.tolist() == expected, name
        assert str(value.dtype).endswith("int64")
    assert tokenizer("one", return_tensors=kind)["input_ids"].shape == (1, 2)


@pytest.mark.parametrize(("side", "kept"), [("left", [1, 1055, 1045, 2]), ("right", [1, 1032, 1055, 2])])
def test_truncation_keeps_special_tokens(side: str, kept: list[int]) -> None:
    found = copy.copy(opened(mode="finetuning"))
    found.truncation_side = side
    assert found.encode("a b c", truncation=True, max_length=4, return_tensors=None) == kept
    assert found("a b c", max_length=4)["input_ids"] == kept


def test_what_does_not_fit_comes_as_windows() -> None:
    found = opened()(["a b c d e", "a"], max_length=4, truncation=True, return_overflowing_tokens=True, stride=1)
    assert found["input_ids"] == [[1, 1032, 1055, 1045], [1, 1045, 1049, 1085], [1, 1032]]
    assert found["overflow_to_sample_mapping"] == [0, 0, 1]
    single = opened()("a b c d e", max_length=4, truncation=True, return_overflowing_tokens=True, stride=1)
    assert (single["input_ids"], single["num_truncated_tokens"]) == ([1, 1032, 1055, 1045], 2)
    assert single["overflowing_tokens"] == [1045, 1049, 1085]
    with pytest.raises(ValueError, match="stride is 3; expected 0 to 2"):
        opened()(["a b c d"], max_length=4, truncation=True, return_overflowing_tokens=True, stride=3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: t("a", is_split_into_words=True), r"is_split_into_words.*`MistralCommonTokenizer.__call__`"),
        (lambda t: t("a", text_pair="b"), "`MistralCommonTokenizer.__call__` does not support `text_pair`"),
        (lambda t: t.encode("a", foo=1), r"\['foo'\] are not supported by `MistralCommonTokenizer.encode`"),
        (lambda t: t.encode("a", "b"), "`MistralCommonTokenizer.encode` does not support `text_pair`"),
        (lambda t: t.encode([]), "not valid"),
        (lambda t: t(None), "of type NoneType"),
        (lambda t: t([[1], [None]]), "numbers of type int"),
        (lambda t: t([["a"]]), "numbers of type int"),
        (lambda t: t([("a", "b")]), r"item 0, \('a', 'b'\), holds texts"),
        (lambda t: t("a", padding="most"), "padding is 'most'"),
        (lambda t: t("a", truncation="only_first"), "no pairs"),
        (lambda t: t("a", truncation="zz"), "truncation is 'zz'"),
        (lambda t: t("a", truncation=True, max_length=0), "max_length is 0"),
        (lambda t: t("a", max_length="4"), "max_length is '4'"),
        (lambda t: t("a", padding_side="up"), "padding_side is 'up'"),
        (lambda t: t("a", return_tensors="tf"), "return_tensors is 'tf'"),
        (lambda t: t(["a", "b c"], return_tensors="np"), "padding=True"),
        (lambda t: t(["a"], padding=True, truncation=True, max_length=5, pad_to_multiple_of=4), "multiple"),
        (lambda t: t([[1]], return_offsets_mapping=True), "needs texts"),
        (lambda t: t.decode([1], foo=1), "MistralCommonTokenizer.decode"),
        (lambda t: t.batch_decode([[1]], foo=1), "MistralCommonTokenizer.batch_decode"),
        (lambda t: t.tokenize("a", foo=1), "MistralCommonTokenizer.tokenize"),
        (lambda t: t.prepare_for_model([1], foo=1), "MistralCommonTokenizer.prepare_for_model"),
        (lambda t: t.truncate_sequences([1], foo=1), "MistralCommonTokenizer.truncate_sequences"),
        (lambda t: t.num_special_tokens_to_add(pair=True), "does not support `pair`"),
        (lambda t: t.get_special_tokens_mask([1], [2]), "does not support `token_ids_1`"),
        (lambda t: t.apply_chat_template(CHAT, foo=1), "MistralCommonTokenizer.apply_chat_template"),
        (lambda t: t.apply_chat_template(CHAT, documents=[{}]), "documents"),
        (lambda t: t.apply_chat_template(CHAT, truncation="longest_first"), "truncation is 'longest_first'"),
        (
            lambda t: t.apply_chat_template(CHAT, continue_final_message="thought"),
            "continue_final_message is 'thought'",
        ),
        (lambda t: t.apply_chat_template(CHAT, tools="f"), "tools is 'f'"),
        (lambda t: t.apply_chat_template(CHAT, tools=[3]), r"tools\[0\] is 3"),
        (lambda t: t.apply_chat_template([]), r"conversation is \[\]"),
        (lambda t: t.apply_chat_template(CHAT[:2], add_generation_prompt=True), "continue_final_message=True"),
        (lambda t: t.apply_chat_template([CHAT, CHAT[:2]], add_generation_prompt=True), "conversation 1 ends"),
        (lambda t: t.apply_chat_template(CHAT, return_assistant_tokens_mask=True), "return_dict=True"),
        (lambda t: t.save_pretrained("/tmp", foo=1), "MistralCommonTokenizer.save_pretrained"),
        (lambda t: t.push_to_hub("a/b", foo=1), "MistralCommonTokenizer.push_to_hub"),
        (lambda t: t.pad({"attention_mask": [1]}), "includes input_ids"),
        (lambda t: t.pad({"input_ids": [[1], [2]], "labels": [[1]]}), "have not the 2 rows"),
        (lambda t: t.convert_ids_to_tokens(1, skip_special_tokens=True), "Invalid token id 1"),
        (lambda t: t.decode([-1]), "-1"),
        (lambda t: MistralCommonTokenizer.from_pretrained(bundled_path("v3"), foo=1), "from_pretrained"),
        (lambda t: MistralCommonTokenizer.from_pretrained(bundled_path("v3"), "more"), "init_inputs"),
        (lambda t: MistralCommonTokenizer(bundled_path("v3"), foo=1), r"\['foo'\] are not supported"),
        (lambda t: MistralCommonTokenizer(bundled_path("v3"), mode="zz"), "`mode` is 'zz'; expected one of"),
        (lambda t: MistralCommonTokenizer(bundled_path("v3"), model_input_names=[]), "model_input_names"),
    ],
)
def test_what_is_not_supported_is_refused(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(opened())


def test_signatures_are_those_that_are_documented() -> None:
    def named(method: Any) -> dict[str, Any]:
        return {n: p.default for n, p in inspect.signature(method).parameters.items()}

    call = named(MistralCommonTokenizer.__call__)
    assert list(call)[1:9] == [
        "text", "text_pair", "text_target", "text_pair_target", "add_special_tokens", "padding", "truncation",
        "max_length",
    ]  # fmt: skip
    template = named(MistralCommonTokenizer.apply_chat_template)
    assert list(template)[1:10] == [
        "conversation", "tools", "continue_final_message", "tokenize", "padding", "truncation", "max_length",
        "return_tensors", "return_dict",
    ]  # fmt: skip
    assert template["return_dict"] is False
    opening = named(MistralCommonTokenizer.from_pretrained)
    assert (opening["padding_side"], opening["truncation_side"], opening["revision"]) == ("left", "right", "main")


def test_decoding_shows_or_drops_control_tokens() -> None:
    spm, tekken = opened(), opened("v3-tekken")
    ids = spm.encode("Hello you")
    assert spm.decode(ids) == "<s>▁Hello▁you"
    assert spm.decode(ids, skip_special_tokens=True) == "Hello you"
    rows = [tekken.encode("Hello ."), tekken.encode("x")]
    assert tekken.decode(rows) == tekken.batch_decode(rows) == ["<s>Hello .", "<s>x"]
    assert tekken.batch_decode(np.array([rows[0]])) == ["<s>Hello ."]
    assert tekken.decode(rows[0], True, clean_up_tokenization_spaces=True) == "Hello."
    assert tekken.decode(22177) == tekken.decode(np.int64(22177)) == "Hello"
    assert tekken.batch_decode([]) == []
    assert tekken.batch_decode([22177]) == ["Hello"]


def test_tokens_and_ids_name_each_other(tokenizer: MistralCommonTokenizer) -> None:
    ids = tokenizer.encode("Hello [INST] 日本", add_special_tokens=False)
    assert tokenizer.convert_ids_to_tokens(ids) == tokenizer.tokenize("Hello [INST] 日本")
    assert tokenizer.convert_tokens_to_ids("[INST]") == 3
    assert tokenizer.convert_tokens_to_ids(["[INST]", "no such token"]) == [3, 0]
    vocab = tokenizer.get_vocab()
    assert vocab["[INST]"] == 3
    assert list(vocab.values()) == sorted(vocab.values())
    vocab.clear()
    assert tokenizer.get_vocab()
    assert len(tokenizer) == tokenizer.vocab_size
    assert tokenizer.special_tokens_map == {
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>",
    }  # fmt: skip
    assert dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))["[INST]"] == 3
    assert tokenizer.get_special_tokens_mask([1, 5000, 2], already_has_special_tokens=True) == [1, 0, 1]
    assert tokenizer.get_special_tokens_mask([5000]) == [1, 0]
    assert tokenizer.num_special_tokens_to_add() == 1
    assert not tokenizer.is_fast


def test_the_padding_token_can_be_chosen() -> None:
    found = MistralCommonTokenizer(bundled_path("v3"))
    assert (found.pad_token, found.pad_token_id) == ("<pad>", 0)
    found.pad_token = found.eos_token
    assert found(["a", "a b"], padding=True)["input_ids"][0][0] == found.pad_token_id == 2
    found.pad_token_id = 0
    assert found.pad_token == "<unk>"
    with pytest.raises(ValueError, match="cannot be added"):
        found.pad_token = "[PAD]"


def test_features_are_padded_as_collators_need_it(tokenizer: MistralCommonTokenizer) -> None:
    features = [{"input_ids": [1, 7, 8], "labels": [7, 8, 9], "kind": 0}, {"input_ids": [1], "labels": [7], "kind": 1}]
    before = copy.deepcopy(features)
    found = tokenizer.pad(features, return_tensors="np", pad_to_multiple_of=4)
    pad = tokenizer.pad_token_id
    assert found["input_ids"].tolist() == [[pad, 1, 7, 8], [pad, pad, pad, 1]]
    assert found["labels"].tolist() == [[-100, 7, 8, 9], [-100, -100, -100, 7]]
    assert found["attention_mask"].tolist() == [[0, 1, 1, 1], [0, 0, 0, 1]]
    assert found["kind"].tolist() == [0, 1]
    assert features == before
    arrays = tokenizer.pad([{"input_ids": np.array([1, 2])}, {"input_ids": np.array([1])}])
    assert isinstance(arrays["input_ids"], np.ndarray)
    one = tokenizer.pad({"input_ids": [1, 2]}, padding="max_length", max_length=3)
    assert one["attention_mask"] == [0, 1, 1]


def test_conversations_in_every_form(tokenizer: MistralCommonTokenizer) -> None:
    ids = tokenizer.apply_chat_template(CHAT)
    assert ids == tokenizer.tokenizer.encode_chat_completion(CHAT).tokens
    request = ChatCompletionRequest(messages=[dict(m) for m in CHAT])
    theirs = pytest.importorskip("mistral_common.protocol.instruct.request").ChatCompletionRequest(messages=CHAT)
    for form in (request, theirs, {"messages": CHAT}, [UserMessage(content="Hi"), *CHAT[1:]]):
        assert tokenizer.apply_chat_template(form) == ids
    assert tokenizer.apply_chat_template([request, CHAT]) == [ids, ids]
    assert tokenizer.apply_chat_template(CHAT, add_generation_prompt=True) == ids
    assert tokenizer.apply_chat_template(CHAT, tokenize=False) == tokenizer.decode(ids)
    batch = tokenizer.apply_chat_template(
        [CHAT, CHAT[:1]], padding=True, return_tensors="np", return_dict=True, return_assistant_tokens_mask=True
    )
    wrote = batch["input_ids"][0][batch["assistant_masks"][0] == 1]
    assert tokenizer.decode(wrote, skip_special_tokens=True).strip() == "Yo"
    assert wrote[-1] == tokenizer.eos_token_id
    assert not batch["assistant_masks"][1].any()
    assert tokenizer.apply_chat_template(CHAT, truncation=True, max_length=4) == ids[:4]


@pytest.mark.parametrize("name", ["v1", "v2", "v3", "v7", "v3-tekken"])
def test_the_last_message_can_be_continued(name: str) -> None:
    ids = opened(name, "finetuning").apply_chat_template(CHAT[:2])
    assert ids[-1] == opened(name).eos_token_id
    assert opened(name).apply_chat_template(CHAT[:2], continue_final_message=True) == ids[:-1]
    with pytest.raises(MistralCommonException):
        opened(name).apply_chat_template(CHAT, continue_final_message=True)
    with pytest.raises(ValueError, match="exclude each other"):
        opened(name).apply_chat_template(CHAT[:2], continue_final_message=True, add_generation_prompt=True)


def test_a_batch_says_which_conversation_is_refused() -> None:
    for bad in ([*CHAT[:2]], [{"role": "user"}], [{"role": "user", "content": [{"type": "image"}]}], []):
        with pytest.raises((MistralCommonException, ValueError)) as caught:
            opened().apply_chat_template([CHAT, CHAT, bad, CHAT])
        assert caught.value.__notes__ == ["This was in conversation 2."]


def test_tools_may_be_functions() -> None:
    def add(x: int) -> int:
        """Add one.

        Args:
            x: A number.

        """
        return x + 1

    text = opened().apply_chat_template(CHAT, tools=[add], tokenize=False)
    assert "[AVAILABLE_TOOLS]" in text
    assert text == opened().apply_chat_template([UserMessage(content="Hi"), *CHAT[1:]], tools=[add], tokenize=False)


def test_a_tokenizer_is_saved_whole_and_opened_again(tokenizer: MistralCommonTokenizer, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    (path,) = tokenizer.save_pretrained(folder)
    assert [str(p) for p in folder.iterdir()] == [path]
    again = MistralCommonTokenizer.from_pretrained(folder, mode="finetuning", model_max_length=3, padding_side="right")
    assert (again.name_or_path, again.mode, again.padding_side) == (str(folder), "finetuning", "right")
    assert again.encode("Hello you and me", truncation=True) == [*tokenizer.encode("Hello"), 2]
    assert again.save_pretrained(folder) == (path,)
    assert MistralCommonTokenizer.from_pretrained(path).get_vocab() == tokenizer.get_vocab()
    Path(path).unlink()
    with pytest.raises((FileNotFoundError, VocabularyError)):
        again.save_pretrained(tmp_path / "other")
    with pytest.raises(VocabularyError, match="neither"):
        MistralCommonTokenizer.from_pretrained(folder)


def in_child(tokenizer: MistralCommonTokenizer, text: str, answers: Any) -> None:
    answers.put(tokenizer(text)["input_ids"])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="not on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_processes_encode_alike(tokenizer: MistralCommonTokenizer) -> None:
    context: Any = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=in_child, args=(tokenizer, "Hello you", answers))
    child.start()
    assert answers.get(timeout=60) == tokenizer.encode("Hello you")
    child.join()


def test_fresh_processes_encode_alike(tokenizer: MistralCommonTokenizer) -> None:
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer)('Hello you')['input_ids'])"
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(tokenizer), capture_output=True, timeout=60, check=True
    )
    assert done.stdout.decode().strip() == str(tokenizer.encode("Hello you"))


def test_pickling_keeps_everything(tokenizer: MistralCommonTokenizer) -> None:
    again = pickle.loads(pickle.dumps(tokenizer))
    assert repr(again) == repr(tokenizer)
    assert again.apply_chat_template(CHAT) == tokenizer.apply_chat_template(CHAT)


def test_a_batch_knows_the_way_back_to_its_texts(tokenizer: MistralCommonTokenizer) -> None:
    texts = ["Hello there you", "Hi"]
    batch = tokenizer(texts, padding=True)
    assert batch.tokens(0)[0] == "<s>"
    for row, text in enumerate(texts):
        for at in range(len(text)):
            token = batch.char_to_token(row, at)
            assert token is not None
            start, end = batch.token_to_chars(row, token)
            assert start <= at < end
    assert batch.token_to_chars(1, 0) is None
    assert batch.char_to_token(1, 99) is None
    cut = tokenizer(texts, truncation=True, max_length=2, return_overflowing_tokens=True)
    assert [cut.token_to_chars(row, 1).start for row in range(3)][:2] == [0, 5]
    with pytest.raises(ValueError, match="no words"):
        batch.word_ids()
    with pytest.raises(ValueError, match="needs the texts"):
        pickle.loads(pickle.dumps(batch)).char_to_token(0)


def test_batch_encoding_is_a_mapping() -> None:
    batch = BatchEncoding({"input_ids": [[1, 2], [3, 4]]})
    assert batch.input_ids == batch["input_ids"] == dict(batch)["input_ids"]
    assert batch[1:] == {"input_ids": [[3, 4]]}
    assert type(batch)({"x": 1}).x == 1
    with pytest.raises(AttributeError, match="no 'foo'"):
        _ = batch.foo
    with pytest.raises(KeyError):
        _ = batch[0]
    assert copy.copy(batch) == copy.deepcopy(batch) == batch
    assert BatchEncoding({"a": [1]}, tensor_type="np", prepend_batch_axis=True)["a"].shape == (1, 1)
    with pytest.raises(ValueError, match="a has rows of different lengths"):
        BatchEncoding({"a": [[1], [1, 2]]}, tensor_type="np")


def test_batch_encoding_moves_and_converts() -> None:
    torch = pytest.importorskip("torch")
    batch = opened()(["a"], return_tensors="pt")
    assert batch.to("meta")["input_ids"].device.type == "meta"
    assert batch.to(torch.device("meta"), non_blocking=True) is batch
    assert opened()(["a"]).convert_to_tensors("pt")["input_ids"].dtype == torch.int64
