"""`pipeline("text-generation")`: what it takes, what it returns, and what it refuses."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import huggingface_hub
import pytest
import torch
from mistral_tok.model import GrowingCache, MistralConfig, MistralForCausalLM, ModelError
from mistral_tok.model.arguments import Options
from mistral_tok.model.prepack import prepackable

import mistral_tok
from mistral_tok import (
    InvalidRequestException,
    MistralTokenizer,
    Tokenizer,
    TokenizerException,
    UserMessage,
    VocabularyError,
)
from mistral_tok.pipelines import OfficialPrompts, TextGenerationPipeline, pipeline
from mistral_tok.pipelines.options import OPTIONS
from mistral_tok.templates import TemplateException

from .places import OFFICIAL, TINY, conversations, write_gguf_file, write_hugging_face
from .test_hub import Hub

KNOWN = conversations()
ASKED = {name: found["messages"][:1] for name, found in KNOWN.items() if name in ("capital", "languages", "code")}
TREASURE = KNOWN["pirate"]["messages"][:2]


@pytest.fixture(scope="module")
def tiny() -> TextGenerationPipeline:
    return pipeline(model=TINY, device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hugging_face(tmp_path_factory.mktemp("hf") / "tiny")


def answer(name: str) -> dict[str, Any]:
    """What the model learnt to answer to the first message."""
    return next(message for message in KNOWN[name]["messages"] if message["role"] == "assistant")


def test_the_name_stays_a_function_whatever_is_imported() -> None:
    import mistral_tok.pipelines.text_generation

    assert mistral_tok.pipeline is pipeline


# What it returns.


def test_a_text_goes_on(tiny: TextGenerationPipeline) -> None:
    assert tiny("The capital of France is", max_new_tokens=1) == [{"generated_text": "The capital of France is Paris"}]
    assert tiny("The capital of France is", max_new_tokens=1, return_full_text=False) == [{"generated_text": " Paris"}]


def test_a_conversation_gets_its_answer_appended(tiny: TextGenerationPipeline) -> None:
    asked = ASKED["capital"]
    assert tiny(asked) == [{"generated_text": [*asked, answer("capital")]}]
    assert len(asked) == 1
    assert tiny(asked, return_full_text=False) == [{"generated_text": answer("capital")["content"]}]
    assert tiny(TREASURE)[0]["generated_text"] == KNOWN["pirate"]["messages"]


def test_messages_may_be_objects(tiny: TextGenerationPipeline) -> None:
    asked = [UserMessage(content=ASKED["capital"][0]["content"])]
    assert tiny(asked)[0]["generated_text"] == [*asked, answer("capital")]


def test_lists_give_lists_in_order_and_equal_to_single_runs(tiny: TextGenerationPipeline) -> None:
    rows = [*ASKED.values(), TREASURE, "Hello", KNOWN["greeting"]["messages"][:3], "The capital of France"]
    single = [tiny(row, max_new_tokens=40) for row in rows]
    for size in (1, 2, 3, 8):
        assert tiny(rows, max_new_tokens=40, batch_size=size) == single
    assert tiny([]) == []


def test_rows_of_like_length_run_together(tiny: TextGenerationPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    together = tiny.runner.together

    def noted(rows: Any, options: Any) -> Any:
        seen.append([len(row) for row in rows])
        return together(rows, options)

    monkeypatch.setattr(tiny.runner, "together", noted)
    texts = ["a " * n for n in (9, 1, 8, 2, 7)]
    tiny(texts, max_new_tokens=1, batch_size=2)
    lengths = sorted(len(tiny.prompts.text(text).ids) for text in texts)
    assert seen == [lengths[0:2], lengths[2:4], lengths[4:]]


def test_it_returns_what_transformers_returns(tiny: TextGenerationPipeline, folder: Path) -> None:
    transformers = pytest.importorskip("transformers", minversion="4.56")
    theirs = transformers.pipeline("text-generation", model=str(folder), device="cpu")
    ours = pipeline("text-generation", model=folder, device="cpu")
    chats = [*ASKED.values(), TREASURE]
    options = {"do_sample": False, "max_new_tokens": 40}
    assert ours(chats, **options) == theirs(chats, **options)
    assert ours(chats[0], **options) == theirs(chats[0], **options)
    assert ours(chats[0], return_full_text=False, **options) == theirs(chats[0], return_full_text=False, **options)
    assert ours(chats[0], return_tensors=True, **options) == theirs(chats[0], return_tensors=True, **options)
    begun = [*ASKED["capital"], {"role": "assistant", "content": "The capital"}]
    assert ours(begun, return_tensors=True, **options) == theirs(begun, return_tensors=True, **options)
    texts = ["The capital of France is", "Hello"]
    assert ours(texts, return_tensors=True, **options) == theirs(texts, return_tensors=True, **options)
    # The text differs on purpose: a SentencePiece text decoded by itself loses its first space.
    assert theirs(texts[0], **options)[0]["generated_text"].startswith("The capital of France isParis.")
    assert ours(texts[0], **options)[0]["generated_text"].startswith("The capital of France is Paris.")


def test_several_answers_are_drawn_and_reproduced(tiny: TextGenerationPipeline) -> None:
    options = {"do_sample": True, "temperature": 3.0, "seed": 5, "max_new_tokens": 12}
    found = tiny("Hello", num_return_sequences=3, **options)
    assert len({record["generated_text"] for record in found}) == 3
    assert tiny("Hello", num_return_sequences=3, **options) == found
    assert tiny(["Good", "Hello"], num_return_sequences=3, **options)[1] == found
    assert tiny("Hello", **options) == tiny(["A much longer text", "Hello"], **options)[1]
    with pytest.raises(InvalidRequestException, match="num_return_sequences=2"):
        tiny("Hello", num_return_sequences=2)


# Prefill and stop strings.


@pytest.mark.parametrize("begun", ["The capital of France", "The capital of France ", "The", "The capital of Fra"])
def test_an_assistant_message_is_continued(tiny: TextGenerationPipeline, begun: str) -> None:
    whole = tiny([*ASKED["capital"], {"role": "assistant", "content": begun, "prefix": True}])[0]["generated_text"]
    assert [message["role"] for message in whole] == ["user", "assistant"]
    assert whole[1]["content"].startswith(begun.rstrip()) and "  " not in whole[1]["content"]
    assert whole[1].keys() == {"role", "content"}
    if begun == "The capital of France":
        assert whole[1] == answer("capital")


@pytest.mark.parametrize("begun", ["The\n", "é", "The \U0001f30dé"])
def test_a_text_that_ends_in_byte_pieces_is_not_said_twice(
    tiny: TextGenerationPipeline, folder: Path, begun: str
) -> None:
    other = pipeline(model=folder, device="cpu")  # whose vocabulary holds back all byte pieces of a run
    for given in (begun, [*ASKED["capital"], {"role": "assistant", "content": begun}]):
        for full in (True, False):
            options = {"max_new_tokens": 5, "return_full_text": full}
            assert other(given, **options) == tiny(given, **options)


def test_continuing_can_be_asked_for_and_forbidden(tiny: TextGenerationPipeline, folder: Path) -> None:
    with pytest.raises(mistral_tok.MistralCommonException):
        tiny([*ASKED["capital"], answer("capital")], continue_final_message=False)
    with pytest.raises(mistral_tok.MistralCommonException, match="continue_final_message"):
        tiny(ASKED["capital"], continue_final_message=True)
    silent = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    other = pipeline(model=folder, device="cpu", chat_template=silent)
    with pytest.raises(TemplateException, match="cannot be continued"):
        other([*ASKED["capital"], {"role": "assistant", "content": "The"}])


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("Paris", "The capital of France is "),
        (["ver Se", "million"], "The capital of France is Paris. It lies on the ri"),
        (" It lies", "The capital of France is Paris."),
        (["Parisian", "about"], "The capital of France is Paris. It lies on the river Seine, and "),
        ("The capital", ""),
        ("never said", None),
    ],
)
def test_stop_strings_end_an_answer(tiny: TextGenerationPipeline, stop: Any, expected: str | None) -> None:
    whole = answer("capital")["content"] if expected is None else expected
    assert tiny(ASKED["capital"], stop_strings=stop)[0]["generated_text"][1]["content"] == whole
    assert tiny([ASKED["capital"]] * 2, stop_strings=stop)[1][0]["generated_text"][1]["content"] == whole


def test_a_row_at_its_stop_string_is_run_no_further(tiny: TextGenerationPipeline) -> None:
    steps = 0

    def count(*_: Any) -> None:
        nonlocal steps
        steps += 1

    handle = tiny.model.register_forward_hook(count)
    tiny([ASKED["capital"], ASKED["capital"]], stop_strings=["capital"])
    handle.remove()
    assert steps == 2


# Where things are found.


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


# Options.


def test_options_go_before_the_pipelines_and_those_before_the_models(tmp_path: Path) -> None:
    place = shutil.copytree(TINY, tmp_path / "tiny")
    settings = {"max_new_tokens": 4, "transformers_version": "5", "eos_token_id": [2, 7, -1], "top_p": None, "top_k": 0}
    (place / "generation_config.json").write_text(json.dumps(settings))

    def length(pipe: TextGenerationPipeline, **options: Any) -> int:
        return len(pipe("Hello", return_tensors=True, **options)[0]["generated_token_ids"]) - prompt

    prompt = len(pipeline(model=place, device="cpu").prompts.text("Hello").ids)
    assert length(pipeline(model=place, device="cpu")) == 4
    assert length(pipeline(model=place, device="cpu", max_new_tokens=3)) == 3
    assert length(pipeline(model=place, device="cpu", max_new_tokens=3), max_new_tokens=5) == 5
    assert pipeline(model=place, device="cpu").options == {"max_new_tokens": 4, "eos_token_id": [2, 7, -1]}


def test_there_are_no_other_options_than_those_of_generate() -> None:
    assert set(OPTIONS) - {"eos_token_id"} <= Options.__dataclass_fields__.keys()


def test_an_end_of_ones_own(tiny: TextGenerationPipeline) -> None:
    comma = tiny.tokenizer.encode("France, and")[1]
    said = tiny(ASKED["capital"], eos_token_id=comma)[0]["generated_text"][1]["content"]
    assert said == "The capital of France is Paris. It lies on the river Seine"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"max_new_token": 3}, "Did you mean max_new_tokens"),
        ({"beams": 3}, "beams=3: generation has no such option"),
        ({"max_length": 9}, "Did you mean max_new_tokens"),
        ({"stop_strings": 5}, "stop_strings is 5"),
        ({"eos_token_id": "x"}, "eos_token_id is 'x'"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"max_rounds": 0}, "max_rounds is 0"),
        ({"stop_strings": ["a", ""]}, "stop_strings holds ''"),
        ({"stop_strings": [3]}, "stop_strings holds 3"),
        ({"num_return_sequences": True}, "num_return_sequences is True"),
    ],
)
def test_options_that_are_none_are_named(
    tiny: TextGenerationPipeline, arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidRequestException, match=complaint):
        tiny(["Hello", "you"], **arguments)


def test_values_that_cannot_be_are_refused_before_any_work(tiny: TextGenerationPipeline) -> None:
    for options in ({"do_sample": True, "temperature": 0.0}, {"top_p": 2.0}, {"cache": "large"}, {"max_new_tokens": 0}):
        with pytest.raises(ModelError, match=next(reversed(options))):
            tiny("Hello", **options)
    with pytest.raises(ModelError, match="positions"):
        tiny("a " * 3000)


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        (3, "type int"),
        ([], None),
        ([[]], r"no messages \(at \$\[0\]\)"),
        (["Hello", {"role": "user", "content": "Hi"}], r"\$\[1\] is of type dict"),
        ([{"role": "user", "content": "Hi"}, 3], r"expected a message, got int \(at \$\[1\]\)"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}], r"an image.*\$\[0\]\.content\[0\]"),
        ([[{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "input_audio", "input_audio": "x"}]}]],
         r"a recording.*\$\[0\]\[0\]\.content\[1\]"),
    ],
)  # fmt: skip
def test_inputs_that_are_none_are_named(tiny: TextGenerationPipeline, inputs: Any, complaint: str | None) -> None:
    if complaint is None:
        assert tiny(inputs) == []
        return
    with pytest.raises(InvalidRequestException, match=complaint):
        tiny(inputs)


def test_images_are_refused_by_a_template_too(folder: Path) -> None:
    chunk = mistral_tok.ImageURLChunk(image_url="https://example.org/a.png")
    with pytest.raises(InvalidRequestException, match="reads text only"):
        pipeline(model=folder, device="cpu")([UserMessage(content=[chunk])])


def test_tasks_and_models_that_are_none() -> None:
    with pytest.raises(InvalidRequestException, match="'translation'"):
        pipeline("translation", model=TINY)
    with pytest.raises(InvalidRequestException, match="No model"):
        pipeline()
    with pytest.raises(InvalidRequestException, match="type int"):
        pipeline(model=3)
    with pytest.raises(InvalidRequestException, match="temprature"):
        pipeline(model=TINY, temprature=1.0)


# The cache that is kept.


class Ran:
    """Counts the ids that go through a model."""

    def __init__(self, pipe: TextGenerationPipeline) -> None:
        self.ids: list[int] = []
        self._handle = pipe.model.model.register_forward_pre_hook(self._note, with_kwargs=True)

    def _note(self, module: Any, args: Any, kwargs: Any) -> None:
        ids = args[0] if args else kwargs["input_ids"]
        self.ids += ids[0].tolist()

    def taken(self) -> list[int]:
        found, self.ids = self.ids, []
        return found


@pytest.mark.parametrize("kind", ["growing", "rolling"])
def test_of_a_conversation_that_goes_on_only_new_ids_are_run(kind: str) -> None:
    pipe = pipeline(model=TINY, device="cpu", cache=kind)
    ran, messages, before = Ran(pipe), [], []
    for turn in KNOWN["greeting"]["messages"][::2]:
        messages = pipe([*messages, turn])[0]["generated_text"]
        whole = pipe.prompts.chats.encode_chat_completion(
            [*messages, {"role": "user", "content": "x"}]
        ).tokens  # the conversation with its answer, and the beginning of the next turn
        after = ran.taken()
        assert [*before, *after] == whole[: len(before) + len(after)]
        before = [*before, *after]
    assert messages == KNOWN["greeting"]["messages"]


def test_another_conversation_begins_anew_and_an_edited_one_where_it_differs() -> None:
    pipe = pipeline(model=TINY, device="cpu")
    ran = Ran(pipe)
    pipe(ASKED["capital"])
    ran.taken()
    assert pipe(ASKED["code"])[0]["generated_text"][1] == answer("code")
    prompt = pipe.prompts.chat(ASKED["code"], None, False, {}).ids
    assert ran.taken()[: len(prompt) - 2] == prompt[2:]  # all but <s>[INST]
    pipe(ASKED["code"])
    assert ran.taken()[0] == prompt[-1]  # the last id is run, for its logits
    pipe.runner.forget()
    pipe(ASKED["code"])
    assert ran.taken()[: len(prompt)] == prompt


def test_a_rolling_cache_that_has_overwritten_the_prefix_begins_anew() -> None:
    pipe = pipeline(model=TINY, device="cpu", cache="rolling")
    greeting = KNOWN["greeting"]["messages"]
    assert pipe(greeting[:5])[0]["generated_text"] == greeting
    assert pipe(greeting[:3])[0]["generated_text"] == greeting[:4]
    assert pipe(greeting[:1], prompt_lookup=2)[0]["generated_text"] == greeting[:2]


@pytest.mark.parametrize("options", [{}, {"cache": "rolling"}, {"prompt_lookup": 3}])
def test_whatever_came_before_the_answer_is_the_same(tiny: TextGenerationPipeline, options: dict[str, Any]) -> None:
    """Texts that begin alike, each longer or shorter than the one before, and edited anywhere."""
    pipe = pipeline(model=tiny.model, tokenizer=OFFICIAL, max_new_tokens=6, **options)
    words = ["Paris ", "one ", "two ", "the river Seine "]
    random = Random(0)
    said = [random.choice(words) for _ in range(30)]
    for _ in range(25):
        del said[random.randrange(1, len(said)) :]
        said += [random.choice(words) for _ in range(random.randrange(30))]
        text = "".join(said)
        expected = tiny(text, max_new_tokens=6, cache=None, return_tensors=True)
        assert pipe(text, return_tensors=True) == expected
        if random.random() < 0.5:  # stopped in the middle
            with pipe(text, stream=True) as stream:
                next(stream, None)


@pytest.mark.parametrize("kind", ["static", None])
def test_other_caches_are_not_kept(tiny: TextGenerationPipeline, kind: str | None) -> None:
    for _ in range(2):
        assert tiny(ASKED["capital"], cache=kind)[0]["generated_text"][1] == answer("capital")


def test_a_cache_of_the_callers() -> None:
    pipe = pipeline(model=TINY, device="cpu")
    cache = GrowingCache(pipe.model.config)
    assert pipe(ASKED["capital"], cache=cache)[0]["generated_text"][1] == answer("capital")
    assert cache.seen > 0


def test_an_error_leaves_a_cache_that_can_be_used() -> None:
    pipe = pipeline(model=TINY, device="cpu")
    calls = 0

    def fail(ids: Any, logits: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise RuntimeError("enough")
        return logits

    with pytest.raises(RuntimeError, match="enough"):
        pipe(ASKED["capital"], logits_processors=[fail])
    stream = pipe(ASKED["capital"], stream=True)
    assert list(stream)[-1].cached_tokens == len(pipe.prompts.chat(ASKED["capital"], None, False, {}).ids) - 1
    assert stream.generated_text[1] == answer("capital")


def test_two_streams_at_once_do_not_share_a_cache(tiny: TextGenerationPipeline) -> None:
    first, second = tiny(ASKED["capital"], stream=True), tiny(ASKED["languages"], stream=True)
    for _ in zip(first, second, strict=False):
        pass
    list(first), list(second)
    assert first.generated_text[1] == answer("capital")
    assert second.generated_text[1] == answer("languages")


def test_one_pipeline_in_several_threads(tiny: TextGenerationPipeline) -> None:
    names = [*ASKED] * 3
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda name: tiny(ASKED[name])[0]["generated_text"][1], names))
    assert found == [answer(name) for name in names]


def test_random_models_need_no_files() -> None:
    config = MistralConfig(vocab_size=1000, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
                           num_attention_heads=2, num_key_value_heads=1)  # fmt: skip
    found = pipeline(model=MistralForCausalLM(config), tokenizer=OFFICIAL)
    ids = found("Hello", max_new_tokens=5, return_tensors=True, eos_token_id=[])[0]["generated_token_ids"]
    assert len(ids) == len(found.prompts.text("Hello").ids) + 5
