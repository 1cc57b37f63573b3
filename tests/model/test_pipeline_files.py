"""Where a pipeline finds its model, its tokenizer and its template."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from mistral_tok.model import MistralConfig, MistralForCausalLM, ModelError
from mistral_tok.model.prepack import prepackable

import mistral_tok
from mistral_tok import InvalidRequestException, MistralTokenizer, Tokenizer, TokenizerException, VocabularyError
from mistral_tok.pipelines import OfficialPrompts, TextGenerationPipeline, pipeline

from .places import ASKED, OFFICIAL, TINY, answer, write_gguf_file
from .test_hub import Hub


def test_official_files_come_first(tmp_path: Path, folder: Path) -> None:
    assert isinstance(pipeline(model=folder, device="cpu").prompts.tokenizer, Tokenizer)
    both = shutil.copytree(folder, tmp_path / "both")
    shutil.copy(OFFICIAL, both)
    (both / "chat_template.jinja").write_text("{{ raise_exception('not used') }}")
    found = pipeline(model=both, device="cpu")
    assert found.tokenizer.name == OFFICIAL.name
    assert found(ASKED["capital"])[0]["generated_text"][1] == answer("capital")


def test_a_model_object_needs_a_tokenizer_of_any_kind(folder: Path) -> None:
    model = MistralForCausalLM.from_pretrained(TINY)
    for tokenizer in (
        OFFICIAL,
        str(TINY),
        MistralTokenizer.from_file(OFFICIAL),
        MistralTokenizer.from_file(OFFICIAL, "finetuning"),
        mistral_tok.MistralCommonTokenizer(OFFICIAL),
        Tokenizer.from_file(OFFICIAL),
        folder,
    ):
        found = pipeline(model=model, tokenizer=tokenizer)
        assert found(ASKED["capital"])[0]["generated_text"][1] == answer("capital")
    set_there = mistral_tok.MistralCommonTokenizer(OFFICIAL)
    set_there.chat_template = "{{ messages[0].content }}"
    assert pipeline(model=model, tokenizer=set_there).prompts.chat(ASKED["code"], None, False, {}).ids == (
        set_there.tokenizer.tokenizer.encode(ASKED["code"][0]["content"])
    )
    for tokenizer, complaint in ((None, "pass tokenizer="), (3, "type int")):
        with pytest.raises(TokenizerException, match=complaint):
            pipeline(model=model, tokenizer=tokenizer)


def test_only_what_gains_by_it_is_prepacked(monkeypatch: pytest.MonkeyPatch) -> None:
    possible = prepackable(torch.zeros(1, dtype=torch.bfloat16))
    assert not pipeline(model=TINY, device="cpu").model.lm_head.prepacked  # its weights stay in the caches
    assert pipeline(model=TINY, device="cpu", dtype="bfloat16").model.lm_head.prepacked is possible
    monkeypatch.setattr("mistral_tok.pipelines.find.PACKED_FROM", 500_000)
    assert pipeline(model=TINY, device="cpu").model.lm_head.prepacked is prepackable(torch.zeros(1))


@pytest.mark.parametrize("device", ["abacus", "cpu:x", 3.5, 4096])
def test_a_device_that_is_not_there_is_named(device: Any) -> None:
    for model in (TINY, MistralForCausalLM.from_pretrained(TINY)):
        with pytest.raises(InvalidRequestException, match=f"device is .*{device}"):
            pipeline(model=model, tokenizer=OFFICIAL, device=device)


def test_a_tokenizer_of_another_model_is_refused() -> None:
    with pytest.raises(TokenizerException, match="32768 ids, the model 1000"):
        pipeline(model=TINY, tokenizer=MistralTokenizer.v3(), device="cpu")


def test_a_vocabulary_without_a_template_takes_texts_only(folder: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(folder, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    file = json.loads((bare / "tokenizer.json").read_text())
    for token in file["added_tokens"]:
        if token["id"] > 2:
            token["special"] = False  # so that no name tells a version
    file["added_tokens"] = file["added_tokens"][:3]
    (bare / "tokenizer.json").write_text(json.dumps(file))
    found = pipeline(model=bare, device="cpu")
    assert found("The capital of France is", max_new_tokens=1)[0]["generated_text"].endswith("Paris")
    with pytest.raises(TokenizerException, match="chat template"):
        found(ASKED["capital"])
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    given = pipeline(model=bare, device="cpu", chat_template=template)
    assert given([{"role": "user", "content": "The capital of France is"}], max_new_tokens=2, return_full_text=False)


@pytest.mark.parametrize("setting", [True, False, None])
def test_a_text_begins_with_bos_as_the_files_say(folder: Path, tmp_path: Path, setting: bool | None) -> None:
    place = shutil.copytree(folder, tmp_path / "place")
    settings = {"bos_token": "<s>", "eos_token": "</s>", **({} if setting is None else {"add_bos_token": setting})}
    (place / "tokenizer_config.json").write_text(json.dumps(settings))
    prompt = pipeline(model=place, device="cpu").prompts.text("Hello")
    assert (prompt.ids[0] == 1) is (setting is not False)


def test_a_gguf_file_is_all_that_is_needed(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    path = write_gguf_file(tmp_path / "gguf")
    for place in (path, path.parent, str(path)):
        assert pipeline(model=place, device="cpu")(ASKED["capital"])[0]["generated_text"][1] == answer("capital")


def test_a_file_of_another_model_beside_a_gguf_file_is_not_taken_for_its_own(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    path = write_gguf_file(tmp_path / "gguf")
    other = path.with_name("tokenizer.model.v3")
    shutil.copy(OFFICIAL, other)
    assert isinstance(pipeline(model=path, device="cpu").prompts, OfficialPrompts)
    shutil.copy(mistral_tok.load.bundled_path("v3"), other)
    found = pipeline(model=path.parent, gguf_file=path.name, device="cpu")
    assert found.tokenizer.name == path.name
    assert found(ASKED["capital"])[0]["generated_text"][1] == answer("capital")


def test_of_files_without_a_version_tokenizer_json_is_taken(folder: Path, tmp_path: Path) -> None:
    both = shutil.copytree(folder, tmp_path / "both")
    shutil.copy(OFFICIAL, both / "tokenizer.model")
    assert pipeline(model=both, device="cpu").tokenizer.name == "tokenizer.json"
    (both / "tokenizer.json").unlink()
    assert pipeline(model=both, device="cpu").tokenizer.name == "tokenizer.model"
    (both / "tokenizer.model").unlink()
    with pytest.raises(VocabularyError, match="Pass tokenizer="):
        pipeline(model=both, device="cpu")


def test_a_repository_is_fetched_with_all_that_is_beside_its_weights(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(tmp_path)
    shutil.copytree(folder, hub.remote)
    (hub.remote / "generation_config.json").write_text('{"max_new_tokens": 3}')
    (hub.remote / "pytorch_model.bin").write_bytes(b"no")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    found = pipeline(model="someone/tiny", revision="v1", device="cpu")
    assert found(ASKED["capital"])[0]["generated_text"][1]["content"] == "The capital of"
    assert all(options["revision"] == "v1" for _, options in hub.asked)
    assert not (hub.cache / "pytorch_model.bin").exists()


def test_the_device_and_the_dtype_can_be_said(tiny: TextGenerationPipeline) -> None:
    assert pipeline(model=TINY, device=-1, dtype="bfloat16").model.dtype == torch.bfloat16
    assert pipeline(model=TINY, device="cpu", dtype=torch.float64).model.dtype == torch.float64
    copy = MistralForCausalLM.from_pretrained(TINY)
    assert pipeline(model=copy, tokenizer=OFFICIAL, dtype="float64", device="cpu").model.dtype == torch.float64
    with pytest.raises(ModelError, match="float31"):
        pipeline(model=TINY, device="cpu", dtype="float31")


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    model = pipeline(model=TINY, device="cpu", progress=lambda read, total: told.append((read, total))).model
    total = sum(p.numel() for p in model.parameters())
    assert told[-1] == (total, total) and told == sorted(told) and len(told) == len(list(model.parameters()))


def test_random_models_need_no_files() -> None:
    config = MistralConfig(vocab_size=1000, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
                           num_attention_heads=2, num_key_value_heads=1)  # fmt: skip
    found = pipeline(model=MistralForCausalLM(config), tokenizer=OFFICIAL)
    ids = found("Hello", max_new_tokens=5, return_tensors=True, eos_token_id=[])[0]["generated_token_ids"]
    assert len(ids) == len(found.prompts.text("Hello").ids) + 5
