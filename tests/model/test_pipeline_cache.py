"""The cache that a pipeline keeps: only new ids are run, and what came before changes no answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
from mistral_tok.model import GrowingCache

from mistral_tok.pipelines import TextGenerationPipeline, pipeline

from .places import ASKED, KNOWN, OFFICIAL, TINY, answer


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
