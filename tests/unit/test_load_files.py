"""Finding, recognising and reading files: folders as published, and everything that is no vocabulary."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from mistral_tok.errors import VocabularyError
from mistral_tok.load import bundled_names, bundled_path, find, parse, read, read_bytes
from mistral_tok.load.locate import choose
from mistral_tok.load.source import MAX_FILE_BYTES


def assert_refused(path: object, reason: str) -> None:
    """Reading fails with the path in front, the reason, and a remedy behind."""
    with pytest.raises(VocabularyError, match=reason) as caught:
        read(path)  # type: ignore[arg-type]
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["tekken.json", "tokenizer.model.v3", "tokenizer.json"], "tekken.json"),
        (["tokenizer.json", "tokenizer.model", "tokenizer.model.v1", "tokenizer.model.v3"], "tokenizer.model.v3"),
        (["tokenizer.model.v7m1", "tokenizer.model.v7"], "tokenizer.model.v7m1"),
        (["mistral_instruct_tokenizer_240323.model.v3"], "mistral_instruct_tokenizer_240323.model.v3"),
        (["tokenizer.model", "a.json"], "tokenizer.model"),
        (["tokenizer.json", "tokenizer_config.json", "config.json"], "tokenizer.json"),
        (["my_tekken.json", "tekken.json.bak", "Tekken.json"], None),
        (["a.b.model.v3", "tokenizer.model.v4", "tokenizer.model.v3m2"], None),
        ([], None),
    ],
)
def test_choice_in_a_folder(names: list[str], chosen: str | None) -> None:
    assert choose(names) == chosen
    assert choose(reversed(names)) == chosen


def test_the_choice_is_mistral_commons() -> None:
    from mistral_common.tokens.tokenizers.utils import get_one_valid_tokenizer_file

    pool = [
        "tekken.json",
        "tokenizer.model",
        "tokenizer.model.v1",
        "tokenizer.model.v11",
        "tokenizer.model.v3",
        "x.model.v7m1",
    ]
    for mask in range(1, 1 << len(pool)):
        names = [name for i, name in enumerate(pool) if mask >> i & 1]
        assert choose(names) == get_one_valid_tokenizer_file(names)


def test_folder_and_file_give_the_same(tmp_path: Path) -> None:
    data = bundled_path("v3").read_bytes()
    (tmp_path / "tokenizer.model").write_bytes(data)
    (tmp_path / "tekken.json").mkdir()  # a folder of that name is no file
    (tmp_path / "readme.md").write_text("hello")
    located = find(tmp_path)
    assert located.path == tmp_path / "tokenizer.model" and located.beside is None
    source = located.read()
    assert (source.data, source.name, source.images, source.label) == (
        data,
        "tokenizer.model",
        False,
        str(located.path),
    )
    vocab = parse(source)
    assert vocab == read(str(tmp_path)) == read(tmp_path / "tokenizer.model") == read_bytes(data, "tokenizer.model")
    assert vocab.version == "v3"
    assert pickle.loads(pickle.dumps(vocab)) == vocab


def test_recognised_by_content_whatever_the_name(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bundled_path("v1").read_bytes())
    assert read(tmp_path / "weights.bin").family == "sentencepiece"
    link = tmp_path / "tokenizer.model"
    link.symlink_to(bundled_path("v3-tekken"))
    assert read(link).family == "tekken"


def test_settings_beside_a_tokenizer_json(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    assert find(tmp_path).beside is None
    (tmp_path / "tokenizer_config.json").write_text("{}")
    located = find(tmp_path / "tokenizer.json")
    assert located.beside == tmp_path / "tokenizer_config.json"
    assert located.read().beside == b"{}"


def test_bundled_names_and_paths() -> None:
    assert bundled_names() == ("v1", "v2", "v3", "v3-tekken", "v3-tekken-mm", "v7", "v7-mm")
    assert all(bundled_path(name).is_file() for name in bundled_names())
    for name in ("v4", "", "../v3", "V3"):
        with pytest.raises(VocabularyError, match="Choose one of v1, v2"):
            bundled_path(name)
    with pytest.raises(VocabularyError, match="None: no bundled"):
        bundled_path(None)  # type: ignore[arg-type]


def test_reading_imports_nothing_heavy() -> None:
    code = (
        "import sys; from mistral_tok.load import *; [read(bundled_path(n)) for n in ('v3', 'v3-tekken')];"
        "heavy = {'mistral_common', 'pydantic', 'numpy', 'huggingface_hub', 'sentencepiece', 'tokenizers', 'torch',"
        "'transformers', 'tiktoken', 'click', 'rich'}; print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_missing_and_empty(tmp_path: Path) -> None:
    assert_refused(tmp_path / "nope.model", "no such file")
    assert_refused(tmp_path / "a" / "b", "no such file")
    assert_refused(tmp_path, "neither tekken.json, nor tokenizer.model")
    (tmp_path / "empty.model").touch()
    assert_refused(tmp_path / "empty.model", "empty")
    assert_refused(tmp_path / "empty.model" / "x", "no such file")
    assert_refused(tmp_path / ("x" * 300), "cannot be read")
    (tmp_path / "loop").symlink_to("loop")
    assert_refused(tmp_path / "loop", "cannot be read")


@pytest.mark.parametrize("path", [None, 5, b"x", ["a"]])
def test_a_path_is_a_path(path: object) -> None:
    with pytest.raises(TypeError, match=r"give a str or an os\.PathLike"):
        read(path)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["a\0b", "\ud800"])
def test_text_that_is_no_path(path: str) -> None:
    with pytest.raises(VocabularyError):
        read(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert_refused(tmp_path / "pipe", "not a regular file")
    assert_refused(Path("/dev/zero"), "not a regular file")
    os.mkfifo(tmp_path / "tekken.json")
    assert_refused(tmp_path, "neither")


def test_a_file_over_the_bound_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.model"
    with open(path, "wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # sparse: takes no room on disk
    assert_refused(path, str(MAX_FILE_BYTES))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "secret.model"
    path.write_bytes(b"x")
    path.chmod(0)
    assert_refused(path, "cannot be read")


NOT_VOCABULARIES = {
    "text": (b"hello world", "begins with b'hello world'"),
    "zeros": (bytes(1000), "no vocabulary format"),
    "gzip": (b"\x1f\x8b\x08\x00" * 10, "no vocabulary format"),
    "html": (b"<!doctype html><html></html>", "no vocabulary format"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "git lfs pull"),
    "other json": (b'{"a": 1}', "not a vocabulary"),
    "empty object": (b"{}", "not a vocabulary"),
    "json list": (b"[1, 2]", "no vocabulary format"),
    "json with BOM": (b"\xef\xbb\xbf{}", "no vocabulary format"),
    "open brace": (b'{"', "JSON"),
    "cut json": (b'{"vocab": [', "JSON"),
    "json and more": (b'{"vocab": []} x', "JSON"),
    "NaN": (b'{"vocab": NaN}', "JSON"),
    "not UTF-8": (b'{"model": {"type": "\xff"}}', "UTF-8"),
    "nested lists": (b'{"vocab": ' + b"[" * 1_000_000, "nested|JSON"),
    "nested objects": (b'{"a": ' * 1_000_000, "nested|JSON"),
    "nested config": (b'{"config": ' * 100_000 + b"1" + b"}" * 100_000, r"nested|config"),
    "nested token": (b'{"vocab": [{"rank": 0, "token_bytes": "AA==", "token_str": ' + b"[" * 1_000_000, "nested|JSON"),
    "nested model": (b'{"model": ' + b'{"vocab":' * 100_000 + b"1" + b"}" * 100_001, "nested|JSON|vocab"),
    "nested step": (
        b'{"model": {"vocab": {}, "merges": []}, "normalizer": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
        "nested|JSON",
    ),
    "long number": (
        b'{"config": {"pattern": "", "version": "v3", "default_vocab_size": ' + b"9" * 100_000,
        "JSON|range",
    ),
}


@pytest.mark.parametrize("case", NOT_VOCABULARIES)
def test_what_is_no_vocabulary(case: str, tmp_path: Path) -> None:
    data, reason = NOT_VOCABULARIES[case]
    path = tmp_path / "tokenizer.model"
    path.write_bytes(data)
    assert_refused(path, reason)


def test_a_hundred_megabytes_of_nesting(tmp_path: Path) -> None:
    for start in (
        b'{"vocab": [{"rank": 0, "token_bytes": "AA==", "token_str": ',
        b'{"model": ',
        b'{"model": {}, "x": ',
    ):
        with pytest.raises(VocabularyError, match=r"nested|JSON"):
            read_bytes(start + b"[" * 100_000_000, "deep.json")


@pytest.mark.parametrize("key", ["normalizer", "pre_tokenizer", "post_processor", "decoder"])
def test_a_long_section_is_refused_before_it_is_decoded(key: str) -> None:
    section = b'{"a": [' + b"[]," * 1_000_000 + b"[]]}"
    data = b'{"model": {"vocab": {}, "merges": []}, "' + key.encode() + b'": ' + section + b"}"
    with pytest.raises(VocabularyError, match=rf"\$\.{key}: 3000011 bytes"):
        read_bytes(data, "long.json")


def test_a_key_listed_twice_counts_where_it_stands_last() -> None:
    """As in every JSON reader of Python; no piece comes from the first."""
    text = bundled_path("v3-tekken").read_text()
    twice = text.replace('"version": "v3"', '"version": "v9", "version": "v7"', 1)
    assert read_bytes(twice.encode(), "t.json").version == "v7"
    assert json.loads(twice)["config"]["version"] == "v7"


def test_truncated_tekken_file_at_many_places() -> None:
    data = bundled_path("v3-tekken").read_bytes()
    for size in (1, 10, 100, 700, 1_000_000, len(data) // 2, len(data) - 10, len(data) - 2):
        with pytest.raises(VocabularyError, match=r"^t\.json: "):
            read_bytes(data[:size], "t.json")
