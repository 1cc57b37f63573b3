"""tekken.json: equal to what mistral-common reads, and refused where a rule is broken."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import damaged

from mistral_tok.errors import VocabularyError
from mistral_tok.load import bundled_path, read, read_bytes
from mistral_tok.load.tekken import LEGACY_SPECIALS
from mistral_tok.vocab import NEVER, VERSIONS, Kind, Vocabulary

PATTERN = r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+"
AUDIO = {
    "sampling_rate": 16000,
    "frame_rate": 12.5,
    "audio_encoding_config": {"num_mel_bins": 128, "hop_length": 160, "window_size": 400},
    "chunk_length_s": 30.0,
}
STREAM = {
    **{key: value for key, value in AUDIO.items() if key != "chunk_length_s"},
    "transcription_format": "streaming",
    "transcription_delay_ms": 480.0,
    "streaming_look_ahead_ms": 2.5,
    "streaming_look_back_ms": 52.5,
    "streaming_n_left_pad_tokens": 32,
}
IMAGE = {"image_patch_size": 14, "max_image_size": 1540, "spatial_merge_size": 2}
EFFORT = {"type": "enum", "values": ["none", "high"], "accepts_none": True, "default": "none"}


def vocab_entries(words: list[bytes]) -> list[dict[str, Any]]:
    pieces = [bytes([value]) for value in range(256)] + words
    return [
        {"rank": i, "token_bytes": base64.b64encode(piece).decode(), "token_str": None if i > 127 else chr(i)}
        for i, piece in enumerate(pieces)
    ]


def special_entries(names: list[str]) -> list[dict[str, Any]]:
    return [{"rank": i, "token_str": name, "is_control": True} for i, name in enumerate(names)]


def tekken(version: str = "v3", **changes: Any) -> dict[str, Any]:
    """A small file, with top-level keys replaced (None: removed) and `config` keys merged."""
    file: dict[str, Any] = {
        "config": {
            "pattern": PATTERN,
            "num_vocab_tokens": 260,
            "default_vocab_size": 290,
            "default_num_special_tokens": 32,
            "version": version,
        },
        "vocab": vocab_entries([b"ab", b" a", b"abc", b"\xe2\x82", b"unused"]),
        "special_tokens": special_entries([*LEGACY_SPECIALS, "[ARGS]", "[CALL_ID]"]),
    }
    file["config"].update(changes.pop("config", {}))
    file.update(changes)
    return {key: value for key, value in file.items() if value is not None}


def load(file: Any) -> Vocabulary:
    return read_bytes(json.dumps(file).encode(), "tekken.json")


def official(file: Any, folder: Path) -> Tekkenizer:
    path = folder / "tekken.json"
    path.write_text(json.dumps(file), encoding="utf-8")
    return Tekkenizer.from_file(path)


def assert_same(vocab: Vocabulary, oracle: Tekkenizer) -> None:
    n, specials = oracle.n_words, oracle.num_special_tokens
    assert (len(vocab.pieces), vocab.version, vocab.family) == (n, oracle.version.value, "tekken")
    assert vocab.kinds == bytes([Kind.CONTROL] * specials + [Kind.BYTE] * 256 + [Kind.NORMAL] * (n - specials - 256))
    assert list(vocab.ranks) == [NEVER] * specials + list(range(n - specials))
    assert vocab.pattern == oracle._model._pat_str
    assert vocab.merges is None and vocab.prefix == "never" and not vocab.split_spaces and not vocab.whole_pieces
    for i in range(specials):
        assert vocab.pieces[i].decode() == oracle.id_to_piece(i)
        assert oracle.get_special_token(vocab.pieces[i].decode()) == i
    for i in range(specials, n):
        assert vocab.pieces[i] == oracle.id_to_byte_piece(i)
    assert vocab.config["special_tokens"] == [dict(token) for token in oracle._all_special_tokens]
    for role in ("bos_id", "eos_id", "unk_id", "pad_id"):
        assert getattr(vocab, role) == getattr(oracle, role)


@pytest.mark.parametrize("name", ["v3-tekken", "v3-tekken-mm"])
def test_bundled_files_equal_mistral_common(name: str) -> None:
    path = bundled_path(name)
    vocab = read(path)
    assert_same(vocab, Tekkenizer.from_file(path))
    image = {"image_patch_size": 16, "max_image_size": 1024, "spatial_merge_size": 1}
    assert vocab.config.get("image") == (image if name.endswith("mm") else None)
    assert (len(vocab.pieces), vocab.name) == (131072, path.name)


ACCEPTED = {
    "plain": tekken(),
    "all entries used": tekken(config={"default_vocab_size": 293}),
    "only bytes": tekken(config={"default_vocab_size": 288}),
    "legacy names": tekken(special_tokens=None),
    "legacy names, v7": tekken("v7", special_tokens=None),
    "names, but null": {**tekken(), "special_tokens": None},
    "no filler": tekken(special_tokens=special_entries([f"[{i}]" for i in range(29)] + ["<s>", "</s>", "<pad>"])),
    "unknown keys": {**tekken(), "version": 3, "type": "Tekken", "other": [1, {"a": None}]},
    "image": tekken(image=IMAGE),
    "image without merge": tekken(image={"image_patch_size": 16, "max_image_size": 64}),
    "multimodal": tekken("v11", multimodal=IMAGE),
    "multimodal wins": tekken("v11", multimodal=IMAGE, image={"image_patch_size": 1, "max_image_size": 1}),
    "empty multimodal": {**tekken(image=IMAGE), "multimodal": {}},
    "empty multimodal, v13": {**tekken("v13", image=IMAGE), "multimodal": None},
    "null sections": {**tekken("v15"), "image": None, "audio": None, "model_settings_builder": None},
    "audio": tekken("v7", audio=AUDIO),
    "streaming": tekken("v13", audio=STREAM),
    "voices": tekken("v13", audio={**AUDIO, "voice_num_audio_tokens": {"Neutral Male": 5}}),
    "settings": tekken("v15", model_settings_builder={"reasoning_effort": EFFORT, "json_schema": {}}),
    "one effort": tekken("v15", model_settings_builder={"reasoning_effort": {"values": ["low"], "default": "low"}}),
    "empty settings": tekken("v15", model_settings_builder={}),
    **{version: tekken(version) for version in VERSIONS},
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted_with_equal_meaning(case: str, tmp_path: Path) -> None:
    file = ACCEPTED[case]
    vocab, oracle = load(file), official(file, tmp_path)
    if case != "no filler":
        assert_same(vocab, oracle)
    else:  # and without the name <unk>, for which mistral-common raises
        assert vocab.unk_id is None and vocab.bos_id == oracle.bos_id
    image, audio, settings = oracle.image, oracle.audio, oracle.model_settings_builder
    assert vocab.config.get("image") == (vars(image) if image else None)
    if audio is None:
        assert "audio" not in vocab.config
    else:
        section = dict(vocab.config["audio"])  # type: ignore[call-overload]
        assert section.pop("audio_encoding_config") == vars(audio.encoding_config)
        assert section == {key: value for key, value in vars(audio).items() if key != "encoding_config"}
    if settings is None:
        assert "model_settings_builder" not in vocab.config
    else:
        expected = settings.model_dump(exclude_none=True)
        found = {key: dict(value) for key, value in vocab.config["model_settings_builder"].items()}  # type: ignore[attr-defined]
        expected.get("json_schema", {}).pop("accepts_none", None)
        assert found == expected


def changed(path: str, value: Any, version: str = "v3", **changes: Any) -> dict[str, Any]:
    """The small file with the value at a dotted path replaced, or deleted if it is `...`."""
    file = tekken(version, **changes)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = file
    for part in parents:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return file


REFUSED = {
    "unknown version": (tekken("v4"), r"version.*'v4'.*v15"),
    "no version": (changed("config.version", ...), "missing required field `version`"),
    "no config": (tekken(config={}) | {"config": None}, r"\$.config"),
    "no vocab": ({"config": tekken()["config"]}, "missing required field `vocab`"),
    "vocab is a string": ({**tekken(), "vocab": "x"}, r"\$.vocab"),
    "rank gap": (changed("vocab.257.rank", 258), r"\$.vocab\[257\].rank: 258 instead of 257"),
    "rank repeats": (changed("vocab.257.rank", 256), r"256 instead of 257"),
    "rank negative": (changed("vocab.0.rank", -1), r"-1 instead of 0"),
    "rank huge": (changed("vocab.0.rank", 10**30), r"\$.vocab\[0\].rank"),
    "rank is text": (changed("vocab.3.rank", "3"), r"\$.vocab\[3\].rank: Expected `int`, got `str`"),
    "rank is true": (changed("vocab.1.rank", True), r"\$.vocab\[1\].rank"),
    "bad base64": (changed("vocab.3.token_bytes", "A$=="), r"base64.*|vocab\[3\]"),
    "base64 cut": (changed("vocab.3.token_bytes", "AAA"), "base64"),
    "empty piece": (changed("vocab.257.token_bytes", ""), "piece 289 has 0 bytes"),
    "byte out of order": (changed("vocab.65.token_bytes", "Qg=="), r"vocab\[65\].token_bytes.*0x41"),
    "repeated piece": (changed("vocab.257.token_bytes", base64.b64encode(b"ab").decode()), "288 and 289 are the same"),
    "key missing": (changed("vocab.3.token_str", ...), r"token_str.*|vocab\[3\]"),
    "key too many": (changed("vocab.3.extra", 1), r"extra"),
    "too few entries": (tekken(config={"default_vocab_size": 294}), "default_vocab_size"),
    "fewer than the bytes": (tekken(config={"default_vocab_size": 150}), "default_vocab_size"),
    "huge vocabulary": (tekken(config={"default_vocab_size": 1 << 40}), "default_vocab_size"),
    "huge specials": (tekken(config={"default_num_special_tokens": 1 << 40}), "default_num_special_tokens"),
    "negative specials": (tekken(config={"default_num_special_tokens": -1}), "default_num_special_tokens"),
    "more specials than N": (
        tekken(config={"default_num_special_tokens": 10, "default_vocab_size": 270}),
        "22 names for 10",
    ),
    "legacy names above N": (
        tekken(special_tokens=None, config={"default_num_special_tokens": 10, "default_vocab_size": 270}),
        "20 names for 10",
    ),
    "special twice": (changed("special_tokens.3.token_str", "<s>"), r"special_tokens\[3\].*'<s>'"),
    "special like a filler": (changed("special_tokens.3.token_str", "<SPECIAL_25>"), r"special_tokens\[25\]"),
    "special without name": (changed("special_tokens.3.token_str", ""), "piece 3 has 0 bytes"),
    "special name is null": (changed("special_tokens.3.token_str", None), r"special_tokens\[3\].token_str"),
    "special rank moved": (changed("special_tokens.3.rank", 4), r"special_tokens\[3\].rank.*disagree"),
    "no specials above v7": (tekken("v11", special_tokens=None), "up to v7"),
    "pattern is no text": (changed("config.pattern", 5), r"config.pattern"),
    "endless pattern": (changed("config.pattern", "a" * 70_000), "70000 characters"),
    "image: patch 0": (tekken(image={**IMAGE, "image_patch_size": 0}), "image_patch_size is 0"),
    "image: unknown key": (tekken(image={**IMAGE, "x": 1}), "x"),
    "image: key missing": (tekken(image={"image_patch_size": 14}), "max_image_size"),
    "image: empty": (tekken(image={}), r"\$.image"),
    "image: text": (tekken(image={**IMAGE, "max_image_size": "1540"}), r"\$.image.max_image_size"),
    "image: too early": (tekken("v2", image=IMAGE), "v3 or later"),
    "multimodal: v13": (tekken("v13", multimodal=IMAGE), "called `image`"),
    "audio: too early": (tekken("v3", audio=AUDIO), "v7 or later"),
    "audio: empty": (tekken("v7", audio={}), r"\$.audio"),
    "audio: no spectrogram": (tekken("v7", audio={"sampling_rate": 1, "frame_rate": 1}), "audio_encoding_config"),
    "audio: format": (tekken("v7", audio={**AUDIO, "transcription_format": "zz"}), "zz"),
    "audio: rate 0": (tekken("v7", audio={**AUDIO, "sampling_rate": 0}), "sampling_rate is 0"),
    "audio: frame rate 0": (tekken("v7", audio={**AUDIO, "frame_rate": 0}), "frame_rate is 0"),
    "audio: frames too fast": (tekken("v7", audio={**AUDIO, "frame_rate": 1000}), "hop_length"),
    "audio: chunk 0": (tekken("v7", audio={**AUDIO, "chunk_length_s": 0}), "chunk_length_s"),
    "audio: hop 0": (
        tekken("v7", audio={**AUDIO, "audio_encoding_config": {"num_mel_bins": 1, "hop_length": 0, "window_size": 1}}),
        "hop_length is 0",
    ),
    "audio: delay for instruct": (tekken("v7", audio={**AUDIO, "transcription_delay_ms": 80.0}), "belongs to"),
    "audio: no delay": (tekken("v7", audio={**STREAM, "transcription_delay_ms": None}), "missing for"),
    "audio: odd delay": (tekken("v7", audio={**STREAM, "transcription_delay_ms": 481.0}), "multiple of 80.0"),
    "audio: chunk and stream": (tekken("v7", audio={**STREAM, "chunk_length_s": 30.0}), "chunk_length_s"),
    "settings: too early": (tekken("v13", model_settings_builder={}), "v15 or later"),
    "settings: unknown key": (tekken("v15", model_settings_builder={"x": {}}), "x"),
    "settings: repeat": (
        tekken("v15", model_settings_builder={"reasoning_effort": {**EFFORT, "values": ["none", "none"]}}),
        "repeat",
    ),
    "settings: default": (
        tekken("v15", model_settings_builder={"reasoning_effort": {**EFFORT, "default": "max"}}),
        "'max' is not a value",
    ),
    "settings: no default": (
        tekken("v15", model_settings_builder={"reasoning_effort": {"values": ["low"]}}),
        "default",
    ),
    "settings: effort": (
        tekken("v15", model_settings_builder={"reasoning_effort": {**EFFORT, "values": ["huge"]}}),
        "huge",
    ),
    "settings: none refused": (
        tekken("v15", model_settings_builder={"reasoning_effort": {**EFFORT, "accepts_none": False}}),
        "accepts_none",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_place_and_remedy(case: str, tmp_path: Path) -> None:
    file, reason = REFUSED[case]
    with pytest.raises(VocabularyError, match=reason) as caught:
        load(file)
    assert str(caught.value).startswith("tekken.json: ")
    assert str(caught.value).endswith(".")


OWN_FAULTS = {
    "rank is true",
    "special rank moved",
    "special without name",
    "image: empty",
    "audio: empty",
    "audio: format",
}
"""mistral-common loads these and then contradicts itself or fails at first use."""

NEVER_ENDS = {"huge specials", "huge vocabulary"}
"""mistral-common tries to build these."""

STRICTER = {"base64 cut", "empty piece", "endless pattern", "image: too early", "audio: too early", "bad base64"}
"""mistral-common's text tokenizer loads these; its MistralTokenizer refuses them, or no real file has them."""


@pytest.mark.parametrize("case", sorted(REFUSED.keys() - OWN_FAULTS - STRICTER - NEVER_ENDS))
def test_nothing_is_refused_that_mistral_common_reads(case: str, tmp_path: Path) -> None:
    # Its errors are of many kinds, one of them a panic that derives from BaseException only.
    with pytest.raises(BaseException) as caught:
        oracle = official(REFUSED[case][0], tmp_path)
        oracle.encode("é", False, False)
    assert not isinstance(caught.value, (KeyboardInterrupt, SystemExit, VocabularyError))


def test_special_tokens_keep_what_the_file_says() -> None:
    file = tekken()
    file["special_tokens"][21]["is_control"] = False
    listed = load(file).config["special_tokens"]
    assert isinstance(listed, list)
    assert listed[21] == {"rank": 21, "token_str": "[CALL_ID]", "is_control": False}
    assert listed[22] == {"rank": 22, "token_str": "<SPECIAL_22>", "is_control": True}


def test_the_string_of_a_token_is_never_read() -> None:
    text = json.dumps(tekken()).replace('"token_str": null', '"token_str": [{"any": 1e400}]')
    assert read_bytes(text.encode(), "t.json").pieces == load(tekken()).pieces


SMALL = json.dumps(
    tekken("v15", image=IMAGE, audio=AUDIO, model_settings_builder={"reasoning_effort": EFFORT})
).encode()


@given(st.data())
def test_truncation_and_flipped_bytes_never_crash(data: st.DataObject) -> None:
    content = damaged(data, SMALL)
    try:
        vocab = read_bytes(content, "x.json")
    except VocabularyError as error:
        assert str(error).startswith("x.json: ")
    else:
        assert isinstance(vocab, Vocabulary)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([*tekken(), "image", "audio", "multimodal", "model_settings_builder"]), JSON_VALUES)
def test_any_value_in_the_place_of_a_section(key: str, value: Any) -> None:
    try:
        vocab = load({**tekken("v11"), key: value})
    except VocabularyError:
        return
    assert len(vocab.pieces) == 290
