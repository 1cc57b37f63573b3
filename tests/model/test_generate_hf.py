"""`MistralForCausalLM.generate` takes the keywords of Hugging Face's, and refuses what it does not do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mistral_tok.model import (
    ConfigError,
    GenerateError,
    GenerateOutput,
    GrowingCache,
    MistralForCausalLM,
    generate,
)
from mistral_tok.model.hf_generate import IGNORED, NUMBERS, SAME, SWITCHES, TRANSLATED
from torch import Tensor

from .files import tiny_config, write_gguf
from .pairs import padded, pair, random_ids, small

transformers = pytest.importorskip("transformers", minversion="4.56")

CALLS: list[dict[str, Any]] = [
    {},
    {"max_length": 15},
    {"max_new_tokens": 9},
    {"max_new_tokens": 30, "eos_token_id": [5, 9, 33], "pad_token_id": 60},
    {"max_new_tokens": 30, "eos_token_id": [33, 9, 5]},
    {"max_length": 30, "min_length": 20, "eos_token_id": [5, 9, 33]},
    {"max_new_tokens": 30, "min_new_tokens": 12, "eos_token_id": 9, "repetition_penalty": 1.2},
    {"max_new_tokens": 9, "use_cache": False},
    {"max_new_tokens": 9, "cache_implementation": "static"},
    {"max_new_tokens": 9, "do_sample": False, "temperature": 0.0, "num_beams": 1, "typical_p": 1.0},
    {"max_new_tokens": 9, "eos_token_id": -1},
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", CALLS, ids=str)
@pytest.mark.parametrize("lengths", [[7], [7, 2, 5]], ids=str)
def test_equals_transformers(options: dict[str, Any], lengths: list[int]) -> None:
    ours, theirs = pair(pad_token_id=None, bos_token_id=1, eos_token_id=2)
    ids, mask = padded(lengths, "left")
    expected = theirs.generate(ids, attention_mask=mask, **options)
    assert torch.equal(ours.generate(ids, attention_mask=mask, **options), expected)
    assert torch.equal(ours.generate(input_ids=ids, attention_mask=mask, **options), expected)
    for config in (options, transformers.GenerationConfig(**options)):
        assert torch.equal(ours.generate(ids, config, attention_mask=mask), expected)


def test_keywords_are_stronger_than_the_config_and_that_than_the_file() -> None:
    model, ids = small(), random_ids(1, 4)
    model.generation_config = {"max_new_tokens": 3, "somebody_elses": "note", "num_beams": 1}
    assert model.generate(ids).shape == (1, 7)
    assert model.generate(ids, {"max_new_tokens": 5}).shape == (1, 9)
    assert model.generate(ids, {"max_new_tokens": 5}, max_new_tokens=6).shape == (1, 10)
    assert model.generate(ids, max_new_tokens=None).shape == (1, 7)


@pytest.mark.filterwarnings("ignore")
def test_none_switches_off() -> None:
    ours, theirs = pair(pad_token_id=None, bos_token_id=1, eos_token_id=2)
    ids = random_ids(1, 4)
    stop = int(ours.generate(ids, max_new_tokens=6)[0, 4])
    ours.generation_config = {"eos_token_id": stop}
    theirs.generation_config.eos_token_id = stop
    for options, length in (({}, 5), ({"eos_token_id": None}, 10)):
        found = ours.generate(ids, max_new_tokens=6, **options)
        assert found.shape == (1, length) and torch.equal(found, theirs.generate(ids, max_new_tokens=6, **options))
    drawn = [ours.generate(ids, do_sample=True, seed=1, temperature=50.0, max_new_tokens=9, top_k=k) for k in (None, 0)]
    assert torch.equal(*drawn)
    assert not torch.equal(drawn[0], ours.generate(ids, do_sample=True, seed=1, temperature=50.0, max_new_tokens=9))


def test_generation_config_json(tmp_path: Path) -> None:
    model = MistralForCausalLM(tiny_config())
    assert model.generation_config == {}
    model.save_pretrained(tmp_path)
    assert not (tmp_path / "generation_config.json").exists()
    stored = {"eos_token_id": [3, 4], "max_new_tokens": 11, "transformers_version": "5.0"}
    (tmp_path / "generation_config.json").write_text(json.dumps(stored))
    read = MistralForCausalLM.from_pretrained(tmp_path)
    assert read.generation_config == stored
    expected = generate(read, [[5, 6]], max_new_tokens=11, stop_token_ids=[3, 4]).sequences
    assert torch.equal(read.generate(torch.tensor([[5, 6]])), expected)
    read.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "generation_config.json").read_text()) == stored
    for wrong in ("{", "[]"):
        (tmp_path / "generation_config.json").write_text(wrong)
        with pytest.raises(ConfigError, match=r"generation_config\.json"):
            MistralForCausalLM.from_pretrained(tmp_path)


def test_a_gguf_has_no_file_beside_it(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    write_gguf(MistralForCausalLM(tiny_config()), tmp_path / "model.gguf")
    (tmp_path / "generation_config.json").write_text('{"max_new_tokens": 1}')
    assert MistralForCausalLM.from_pretrained(tmp_path / "model.gguf").generation_config == {}


def test_sampling_and_its_defaults() -> None:
    model, ids = small(eos_token_id=2), random_ids(2, 4)
    found = model.generate(ids, do_sample=True, num_return_sequences=3, max_new_tokens=30, seed=9)
    expected = generate(
        model, ids, do_sample=True, num_return_sequences=3, max_new_tokens=30, seed=9, top_k=50, stop_token_ids=2
    )
    assert torch.equal(found, expected.sequences)
    every = model.generate(ids, do_sample=True, max_new_tokens=30, seed=9, top_k=0, temperature=5.0)
    assert torch.equal(
        every,
        generate(model, ids, do_sample=True, max_new_tokens=30, seed=9, temperature=5.0, stop_token_ids=2).sequences,
    )
    torch.manual_seed(3)
    first = model.generate(ids, do_sample=True, temperature=5.0)
    torch.manual_seed(3)
    assert torch.equal(model.generate(ids, do_sample=True, temperature=5.0), first)


def test_caches_lookup_processors_and_output() -> None:
    model = small()
    ids = torch.tensor([[5, 6, 7, 8] * 4])
    expected = model.generate(ids, max_new_tokens=12)
    cache = GrowingCache(model.config)
    assert torch.equal(model.generate(ids, max_new_tokens=12, past_key_values=cache), expected)
    assert cache.seen == expected.shape[1] - 1
    assert torch.equal(model.generate(ids, max_new_tokens=12, prompt_lookup_num_tokens=4), expected)
    output = model.generate(ids, max_new_tokens=12, return_dict_in_generate=True, return_logprobs=True)
    assert isinstance(output, GenerateOutput)
    assert torch.equal(output.sequences, expected)
    assert output.logprobs is not None and len(output.logprobs[0]) == len(output.new_tokens[0])
    banned = int(expected[0, 16])
    other = model.generate(
        ids, max_new_tokens=12, logits_processor=[lambda i, x: x.index_fill(1, torch.tensor([banned]), -1e9)]
    )
    assert banned not in other[0, 16:].tolist()


class Recorder:
    """A streamer that remembers."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.ended = 0

    def put(self, value: Tensor) -> None:
        assert not self.ended and value.device.type == "cpu"
        self.values.append(value)

    def end(self) -> None:
        self.ended += 1


def test_a_streamer_gets_what_transformers_gives_it() -> None:
    ours, theirs = pair(bos_token_id=1, eos_token_id=2)
    ids, mask = padded([7, 2, 5], "left")
    options: dict[str, Any] = {"attention_mask": mask, "max_new_tokens": 30, "eos_token_id": [5, 9, 33]}
    recorders = Recorder(), Recorder()
    ours.generate(ids, streamer=recorders[0], **options)
    theirs.generate(ids, streamer=recorders[1], **options)
    assert recorders[0].ended == recorders[1].ended == 1
    assert [v.tolist() for v in recorders[0].values] == [v.tolist() for v in recorders[1].values]


def test_a_streamer_of_one_row() -> None:
    model, ids = small(), torch.tensor([[5, 6, 7, 8] * 4])
    for lookup in (None, 4):
        recorder = Recorder()
        found = model.generate(ids, streamer=recorder, max_new_tokens=20, prompt_lookup_num_tokens=lookup)
        assert torch.equal(recorder.values[0], ids)
        assert torch.cat([ids[0], *recorder.values[1:]]).tolist() == found[0].tolist()
    with pytest.raises(GenerateError, match="streamer"):
        model.generate(ids.repeat(2, 1), streamer=Recorder(), prompt_lookup_num_tokens=3)


def test_a_streamer_learns_of_the_end_even_by_an_error() -> None:
    model, recorder = small(), Recorder()
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(GenerateError, match="not finite"):
        model.generate(random_ids(1, 4), streamer=recorder)
    assert recorder.ended == 1


def test_transformers_text_streamer(capsys: pytest.CaptureFixture[str]) -> None:
    class Letters:
        def decode(self, ids: list[int], **_: Any) -> str:
            return "".join(chr(40 + i) for i in ids)

    model, ids = small(), random_ids(1, 4)
    found = model.generate(ids, streamer=transformers.TextStreamer(Letters()), max_new_tokens=9)
    assert capsys.readouterr().out == Letters().decode(found[0].tolist()) + "\n"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"temprature": 0.5}, "temprature is no keyword of generate"),
        ({"num_beams": 4}, "num_beams=4 is not implemented; leave it out or at 1"),
        ({"no_repeat_ngram_size": 2}, "no_repeat_ngram_size=2"),
        ({"tokenizer": print, "stop_strings": ["x"]}, "stop_strings"),
        ({"input_ids": random_ids(1, 4)}, "two names"),
        ({"output_scores": True}, "output_scores=True"),
        ({"stopping_criteria": [print]}, "stopping_criteria"),
        ({"assistant_model": small}, "assistant_model"),
        ({"inputs_embeds": torch.zeros(1, 1, 32)}, "inputs_embeds"),
        ({"cache_implementation": "quantized"}, "cache_implementation"),
        ({"generation_config": 5}, "generation_config"),
        ({"generation_config": {"penalty_alpha": 0.6}}, "penalty_alpha"),
        ({"max_length": 4}, "max_length is 4, and the prompt has 4"),
        ({"max_length": "9"}, "max_length"),
        ({"do_sample": True, "temperature": 0.0}, "temperature"),
        ({"do_sample": True, "top_p": 0.0}, "top_p"),
        ({"num_return_sequences": 2}, "num_return_sequences"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"eos_token_id": "2"}, "stop_token_ids"),
        ({"attention_mask": torch.ones(1, 3)}, "attention_mask"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, dict) else given,
)
def test_refusals(options: dict[str, Any], match: str) -> None:
    with pytest.raises(GenerateError, match=match):
        small().generate(random_ids(1, 4), **options)


def test_no_prompt() -> None:
    for prompt in (None, [[]], torch.zeros(1, 0, dtype=torch.long), 5):
        with pytest.raises(GenerateError, match="input_ids"):
            small().generate(prompt)


def test_what_asks_for_nothing_is_no_error() -> None:
    model, ids = small(), random_ids(1, 4)
    expected = model.generate(ids)
    nothing: dict[str, Any] = dict.fromkeys(SWITCHES, None) | NUMBERS | dict.fromkeys(NUMBERS, None)
    assert torch.equal(model.generate(ids, **nothing), expected)
    assert torch.equal(model.generate(ids, tokenizer=print), expected)
    for no in (False, [], ()):
        assert torch.equal(model.generate(ids, **NUMBERS, **dict.fromkeys(SWITCHES, no)), expected)
    model.generation_config = {"pad_token_id": -1, "eos_token_id": -1}
    assert torch.equal(model.generate(ids), expected)


def test_every_field_of_generation_config_is_known() -> None:
    known = {*SAME, *TRANSLATED, *IGNORED, *SWITCHES, *NUMBERS}
    fields = set(transformers.GenerationConfig().to_dict())
    assert fields - known == set()
