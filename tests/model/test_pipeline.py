"""`pipeline("text-generation")`: what it takes, what it returns, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from mistral_tok.model import ModelError
from mistral_tok.model.arguments import Options

import mistral_tok
from mistral_tok import InvalidRequestException, UserMessage
from mistral_tok.pipelines import TextGenerationPipeline, pipeline
from mistral_tok.pipelines.options import OPTIONS
from mistral_tok.templates import TemplateException

from .places import ASKED, KNOWN, TINY, TREASURE, answer


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


def test_an_empty_message_is_begun(tiny: TextGenerationPipeline, folder: Path) -> None:
    asked = ASKED["capital"]
    for pipe in (tiny, pipeline(model=folder, device="cpu")):
        answer = pipe(asked)
        for content in ("", None, []):
            assert pipe([*asked, {"role": "assistant", "content": content}]) == answer


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
        ({"device_map": "auto"}, "Did you mean device, where"),
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
        (b"Hello", "type bytes"),
        ([[]], r"no messages \(at \$\[0\]\)"),
        (["Hello", {"role": "user", "content": "Hi"}], r"\$\[1\] is of type dict"),
        ([{"role": "user", "content": "Hi"}, 3], r"expected a message, got int \(at \$\[1\]\)"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}], r"an image.*\$\[0\]\.content\[0\]"),
        ([[{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "input_audio", "input_audio": "x"}]}]],
         r"a recording.*\$\[0\]\[0\]\.content\[1\]"),
        ([{"role": "user", "content": [{"type": "video", "path": "x"}]}], "a film"),
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


@pytest.mark.parametrize("device", ["meta", "no such device", "cuda:77", "mkldnn"])
def test_devices_that_compute_nothing(tiny: TextGenerationPipeline, device: str) -> None:
    for model in (TINY, tiny.model):
        with pytest.raises(InvalidRequestException, match=f"device is '{device}'.*cannot use here"):
            pipeline(model=model, tokenizer=TINY, device=device)
    assert tiny.model.device.type == "cpu"


def test_halves_of_characters_in_a_text(tiny: TextGenerationPipeline, folder: Path) -> None:
    for pipe in (tiny, pipeline(model=folder, device="cpu")):
        for error in (InvalidRequestException, ValueError):
            with pytest.raises(error, match=r"U\+D83D \(at \$\[1\]\[3\]\); take it out"):
                pipe(["whole", "abc\ud83d"])
        with pytest.raises(InvalidRequestException, match=r"at \$\[0\]"):
            pipe("\ud83d")
