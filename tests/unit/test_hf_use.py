"""The tokenizer in training loops: data loaders, datasets, transformers' collators, Trainer and Auto classes, trl."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from mistral_tok import MistralCommonTokenizer

torch = pytest.importorskip("torch")

TINY = Path(__file__).resolve().parents[2] / "fixtures" / "tiny-mistral"
TEXTS = [f"Sentence {i} of {'many ' * (i % 7)}words." for i in range(24)]
CHATS = [
    [
        {"role": "user", "content": f"Say {i}."},
        {"role": "assistant", "content": f"{i} " * (i % 4 + 1)},
    ]
    for i in range(8)
]
QUIET = (
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
)
"""What other libraries warn of is theirs."""


def quiet(test: Any) -> Any:
    for mark in QUIET:
        test = mark(test)
    return test


@cache
def opened(mode: str = "test") -> MistralCommonTokenizer:
    return MistralCommonTokenizer.from_pretrained(TINY, mode=mode)


def collate(tokenizer: MistralCommonTokenizer, texts: list[str]) -> Any:
    return tokenizer(texts, padding=True, truncation=True, max_length=16, return_tensors="pt")


@quiet
def test_data_loader_with_workers() -> None:
    loader = torch.utils.data.DataLoader(
        TEXTS, batch_size=5, num_workers=2, collate_fn=partial(collate, opened()), multiprocessing_context="fork"
    )
    batches = list(loader)
    assert [len(batch["input_ids"]) for batch in batches] == [5, 5, 5, 5, 4]
    expected = collate(opened(), TEXTS[:5])
    assert torch.equal(batches[0].input_ids, expected.input_ids)
    assert torch.equal(batches[0]["attention_mask"], expected["attention_mask"])


def encoded(batch: dict[str, list[str]], tokenizer: MistralCommonTokenizer) -> Any:
    return tokenizer(batch["text"], truncation=True, max_length=12)


@quiet
def test_datasets_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    data = datasets.Dataset.from_dict({"text": TEXTS})
    done = data.map(encoded, batched=True, num_proc=2, fn_kwargs={"tokenizer": opened()})
    assert done["input_ids"][:] == [opened().encode(text, truncation=True, max_length=12) for text in TEXTS]
    hasher = datasets.fingerprint.Hasher
    again = MistralCommonTokenizer.from_pretrained(TINY)
    assert hasher.hash(again) == hasher.hash(MistralCommonTokenizer.from_pretrained(TINY))


@quiet
def test_collators_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    features = [opened()(text) for text in TEXTS[:4]]
    causal = transformers.DataCollatorForLanguageModeling(opened(), mlm=False, pad_to_multiple_of=8)(features)
    assert causal["input_ids"].shape[1] % 8 == 0
    assert torch.equal(causal["labels"] == -100, causal["attention_mask"] == 0)
    padded = transformers.DataCollatorWithPadding(opened())(features)
    assert torch.equal(padded["input_ids"], opened()(TEXTS[:4], padding=True, return_tensors="pt")["input_ids"])
    labelled = [{**feature, "labels": feature["input_ids"]} for feature in features]
    seq2seq = transformers.DataCollatorForSeq2Seq(opened())(labelled)
    assert torch.equal(seq2seq["labels"] == -100, seq2seq["attention_mask"] == 0)


def tiny_model(vocab_size: int) -> Any:
    import transformers

    config = transformers.MistralConfig(
        vocab_size=vocab_size, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=64,
    )  # fmt: skip
    return transformers.MistralForCausalLM(config)


@quiet
def test_trainer_takes_ten_steps(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    tokenizer = opened("finetuning")
    rows = [tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True) for chat in CHATS]
    features = [
        {
            "input_ids": row["input_ids"],
            "labels": [t if m else -100 for t, m in zip(row["input_ids"], row["assistant_masks"], strict=True)],
        }
        for row in rows
    ]
    options = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=10, per_device_train_batch_size=2, report_to=[], use_cpu=True,
        save_strategy="no", logging_strategy="no", disable_tqdm=True, learning_rate=1e-2,
    )  # fmt: skip
    trainer = transformers.Trainer(
        model=tiny_model(len(tokenizer)),
        args=options,
        train_dataset=features,
        data_collator=partial(tokenizer.pad, return_tensors="pt"),
        processing_class=tokenizer,
    )
    done = trainer.train()
    assert done.global_step == 10
    assert done.training_loss > 0
    trainer.save_model(str(tmp_path / "out"))
    again = MistralCommonTokenizer.from_pretrained(tmp_path / "out")
    assert again.get_vocab() == tokenizer.get_vocab()


@quiet
def test_auto_tokenizer_opens_what_is_registered(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")

    class OwnConfig(transformers.PretrainedConfig):  # type: ignore[name-defined,misc]
        model_type = "mistral-tok-test"

    transformers.AutoConfig.register("mistral-tok-test", OwnConfig)
    transformers.AutoTokenizer.register(OwnConfig, slow_tokenizer_class=MistralCommonTokenizer)
    OwnConfig().save_pretrained(tmp_path)
    opened().save_pretrained(tmp_path)
    found = transformers.AutoTokenizer.from_pretrained(str(tmp_path), padding_side="right")
    assert type(found) is MistralCommonTokenizer
    assert found.padding_side == "right"
    assert found.encode(TEXTS[0]) == opened().encode(TEXTS[0])


@quiet
def test_batches_become_transformers_own() -> None:
    transformers = pytest.importorskip("transformers")
    batch = opened()(TEXTS[:3], padding=True)
    own = batch.to_transformers()
    assert type(own) is transformers.BatchEncoding
    assert own["input_ids"] == batch["input_ids"]
    assert transformers.BatchEncoding(batch)["attention_mask"] == batch["attention_mask"]


@quiet
def test_trl_learns_what_the_assistant_wrote(tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    transformers = pytest.importorskip("transformers")

    class Accepted(MistralCommonTokenizer, transformers.PreTrainedTokenizerBase):  # type: ignore[misc,name-defined]
        """SFTTrainer takes nothing but subclasses of transformers' own base, whose way to set attributes is its own."""

        __setattr__ = object.__setattr__

    tokenizer = Accepted.from_pretrained(TINY, mode="finetuning")
    tokenizer.pad_token = tokenizer.eos_token
    rows = [tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True) for chat in CHATS]
    data = datasets.Dataset.from_list([{name: row[name] for name in ("input_ids", "assistant_masks")} for row in rows])
    options = trl.SFTConfig(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, report_to=[], use_cpu=True, bf16=False,
        save_strategy="no", logging_strategy="no", disable_tqdm=True, gradient_checkpointing=False, max_length=64,
    )  # fmt: skip
    trainer = trl.SFTTrainer(tiny_model(len(tokenizer)), args=options, train_dataset=data, processing_class=tokenizer)
    batch = trainer.data_collator(list(trainer.train_dataset))
    for row, labels in zip(rows, batch["labels"].tolist(), strict=True):
        wrote = [token for token, mask in zip(row["input_ids"], row["assistant_masks"], strict=True) if mask]
        assert [token for token in labels if token != -100] == wrote
    assert trainer.train().global_step == 2


@quiet
def test_transformers_generates_with_it() -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer, torch_seed = opened(), torch.manual_seed(0)
    assert torch_seed is not None
    model = tiny_model(len(tokenizer))
    answer = transformers.pipeline("text-generation", model=model, tokenizer=tokenizer)
    assert answer("Hello", max_new_tokens=3)[0]["generated_text"].startswith("Hello")
    assert answer(CHATS[0][:1], max_new_tokens=3)[0]["generated_text"][-1]["role"] == "assistant"
    streamer = transformers.TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    inputs = tokenizer(TEXTS[0], return_tensors="pt")
    found = model.generate(
        **inputs, max_new_tokens=4, do_sample=False, streamer=streamer, stop_strings=["~"], tokenizer=tokenizer,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    new = found[0][inputs["input_ids"].shape[1] :]
    assert "".join(streamer) == tokenizer.decode(new, skip_special_tokens=True)


@quiet
def test_stop_strings_of_transformers_know_the_tokens() -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = opened()
    stop = transformers.StopStringCriteria(tokenizer, ["words."])
    assert stop(torch.tensor([tokenizer.encode("many words.")]), None).tolist() == [True]
    assert stop(torch.tensor([tokenizer.encode("many words")]), None).tolist() == [False]


@quiet
def test_trl_masks_conversations_by_the_encoder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    transformers = pytest.importorskip("transformers")

    class Accepted(MistralCommonTokenizer, transformers.PreTrainedTokenizerBase):  # type: ignore[misc,name-defined]
        """SFTTrainer takes nothing but subclasses of transformers' own base, whose way to set attributes is its own."""

        __setattr__ = object.__setattr__

    tokenizer = Accepted.from_pretrained(TINY, mode="agnostic", pad_token="</s>")  # trl tries a last user, too
    options = trl.SFTConfig(
        output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=8, report_to=[], use_cpu=True, bf16=False,
        save_strategy="no", logging_strategy="no", disable_tqdm=True, gradient_checkpointing=False, max_length=64,
        assistant_only_loss=True,
    )  # fmt: skip
    data = datasets.Dataset.from_list([{"messages": chat} for chat in CHATS])
    trainer = trl.SFTTrainer(tiny_model(len(tokenizer)), args=options, train_dataset=data, processing_class=tokenizer)
    for row, chat in zip(trainer.train_dataset, CHATS, strict=True):
        expected = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
        assert row["input_ids"] == expected["input_ids"]
        wrote = [t if m else -100 for t, m in zip(expected["input_ids"], expected["assistant_masks"], strict=True)]
        assert row["labels"] == wrote
    assert "may not learn to stop" not in caplog.text
    assert trainer.train().global_step == 1
