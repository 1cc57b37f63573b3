"""What the tests of the Hugging Face interface share: transformers in its own process, and calls drawn at random."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from threading import Thread
from typing import Any

from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent / "differential"))
from chat_support import png, variant_path, wav
from hf_worker import Calls

from mistral_tok import MistralCommonTokenizer
from mistral_tok.load import bundled_path

WORKER = Path(__file__).resolve().parent / "differential" / "hf_worker.py"
VERSIONS = ("newest", "4.56.2")
NAMES = ("v1", "v3", "v7", "v3-tekken-mm")
HEARING = "v7-tekken-audio"


def python_of(version: str) -> str | None:
    """The interpreter of an environment made by `make_hf_environments.py`; for the newest, this one will do, too."""
    folder = os.environ.get("MISTRAL_TOK_HF_ENVIRONMENTS")
    if folder:
        python = Path(folder) / version / "bin" / "python"
        return str(python) if python.exists() else None
    try:
        newest = int(metadata.version("transformers").partition(".")[0]) >= 5
    except metadata.PackageNotFoundError:
        return None
    return sys.executable if version == "newest" and newest else None


class Peer:
    """A process with transformers in it that answers calls."""

    def __init__(self, python: str) -> None:
        env = os.environ | {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
        self._process = subprocess.Popen(
            [python, "-P", str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env=env,
        )  # fmt: skip

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        """What transformers makes of a call."""
        given, answered = self._process.stdin, self._process.stdout
        assert given is not None and answered is not None
        given.write(json.dumps(call) + "\n")
        given.flush()
        found: dict[str, Any] = json.loads(answered.readline())
        return found

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@cache
def ours() -> Calls:
    """Our class, called in the same way."""
    return Calls(MistralCommonTokenizer)


def file(name: str) -> str:
    """The path of a bundled vocabulary, or of one made for tests."""
    return _variant(name) if name == HEARING else str(bundled_path(name))


@cache
def _variant(name: str) -> str:
    return str(variant_path(name))


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keep the test output clean."""


@cache
def media() -> dict[str, str]:
    """What stands for `{name}` in calls: a picture and a recording as base64, and where they lie."""
    folder = Path(_folder().name)
    found = {"wide": png(32, 16), "high": png(16, 32), "sound": wav(1600, 16000, 1)}
    for name, data in found.items():
        (folder / name).write_bytes(base64.b64decode(data))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    return {**found, "folder": str(folder), "server": f"http://127.0.0.1:{server.server_port}"}


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hf-media-")


def filled(value: Any) -> Any:
    """A copy of a call with media in the places of their names."""
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda found: media()[found[1]], value) if "{" in value[:60] else value
    if isinstance(value, dict):
        return {key: filled(part) for key, part in value.items()}
    return [filled(part) for part in value] if isinstance(value, list) else value


def answers(peer: Peer, call: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What we and what transformers make of a call; the vocabulary is given by name."""
    there = {**(filled(call) if call["member"] == "apply_chat_template" else call), "file": file(call["file"])}
    mine = json.loads(json.dumps(ours().answer(json.loads(json.dumps(there)))))
    return mine, peer.answer(there)


def same(mine: dict[str, Any], their: dict[str, Any]) -> bool:
    """Whether two answers are equal; errors are, whatever their words."""
    return ("error" in mine and "error" in their) or mine == their


# Calls.

TEXTS = st.one_of(
    st.sampled_from(
        ["", " ", "Hello world", "a b c d e f g h", "<s>[INST] x", "日本語 é", "don't , you .", "line\n\n\tend  "]
    ),
    st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0x2FFF), max_size=12),
)
IDS = st.lists(st.one_of(st.integers(0, 12), st.integers(1000, 31000)), min_size=1, max_size=8)
MESSY = st.sampled_from([None, 5, [], [[]], [None], [1.5], {"a": 1}])
ITEMS = st.one_of(TEXTS, IDS)
INPUTS = st.one_of(TEXTS, IDS, st.lists(TEXTS, min_size=1, max_size=4), st.lists(ITEMS, min_size=1, max_size=4), MESSY)
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "add_special_tokens": st.booleans(),
    "padding": st.sampled_from([True, False, "longest", "max_length", "do_not_pad", "most"]),
    "truncation": st.sampled_from([None, True, False, "longest_first", "do_not_truncate", "only_first", "zz"]),
    "max_length": st.sampled_from([None, 1, 2, 3, 4, 8, 16]),
    "stride": st.integers(0, 2),
    "pad_to_multiple_of": st.sampled_from([None, 2, 4]),
    "padding_side": st.sampled_from([None, "left", "right", "middle"]),
    "return_tensors": st.sampled_from([None, "np", "pt", "zz"]),
}
FLAGS = ("return_attention_mask", "return_overflowing_tokens", "return_special_tokens_mask", "return_length")
BATCH = OPTIONS | {name: st.booleans() for name in FLAGS}
ODD = {"is_split_into_words": st.just(True), "text_pair": st.just("b"), "foo": st.just(1)}


@st.composite
def options(draw: st.DrawFn, known: dict[str, st.SearchStrategy[Any]], most: int = 5) -> dict[str, Any]:
    """Some keyword arguments, now and then one that is not supported."""
    names = draw(st.lists(st.sampled_from(sorted(known)), unique=True, max_size=most)) if known else []
    chosen = {name: draw(known[name]) for name in names}
    if draw(st.integers(0, 30)) == 0:
        odd = draw(st.sampled_from(sorted(ODD)))
        chosen[odd] = draw(ODD[odd])
    return chosen


WORDS = st.sampled_from(["Hi", "What is it?", "a ", " b", "é日", "x\n\ny", "[INST]"])
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "description": "d",
        "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}},
    },
}


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A conversation, mostly a valid one."""
    found: list[dict[str, Any]] = []
    if draw(st.booleans()):
        found.append({"role": "system", "content": draw(WORDS)})
    for _ in range(draw(st.integers(0, 2))):
        found += [{"role": "user", "content": draw(WORDS)}, {"role": "assistant", "content": draw(WORDS)}]
    end = draw(st.sampled_from(["user", "user", "user", "assistant", "call", "chunks", "wrong"]))
    if end != "wrong":
        chunks = [{"type": "text", "text": draw(WORDS)}, {"type": "text", "text": draw(WORDS)}]
        found.append({"role": "user", "content": chunks if end == "chunks" else draw(WORDS)})
    if end in ("assistant", "wrong"):
        found.append({"role": "assistant", "content": draw(WORDS)})
    if end == "call":
        found.append({"role": "assistant", "content": None, "tool_calls": [CALL]})
        found.append({"role": "tool", "content": draw(WORDS), "tool_call_id": "abcdefghi", "name": "f"})
    return found


CHAT: dict[str, st.SearchStrategy[Any]] = {
    "tools": st.sampled_from([None, [TOOL]]),
    "continue_final_message": st.booleans(),
    "add_generation_prompt": st.booleans(),
    "tokenize": st.booleans(),
    "padding": OPTIONS["padding"],
    "truncation": st.sampled_from([True, False, "longest_first"]),
    "max_length": OPTIONS["max_length"],
    "return_tensors": OPTIONS["return_tensors"],
    "documents": st.sampled_from([None, [{"title": "t"}]]),
    "chat_template": st.sampled_from([None, None, "{% for m in messages %}{{ m.content }}{% endfor %}"]),
}


PICTURES: list[dict[str, Any]] = [
    {"type": "image", "base64": "{wide}"},
    {"type": "image", "base64": "data:image/png;base64,{high}"},
    {"type": "image", "path": "{folder}/wide"},
    {"type": "image", "url": "file://{folder}/high"},
    {"type": "image", "url": "{server}/wide"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,{wide}"}},
    {"type": "image_url", "image_url": "data:image/png;base64,{high}"},
    {"type": "image"},
    {"text": "no type"},
]
SOUNDS: list[dict[str, Any]] = [
    {"type": "input_audio", "input_audio": {"data": "{sound}", "format": "wav"}},
    {"type": "input_audio", "input_audio": "{sound}"},
    {"type": "audio_url", "audio_url": {"url": "data:audio/wav;base64,{sound}"}},
    {"type": "audio_url", "audio_url": {"url": "{server}/sound"}},
    {"type": "audio", "base64": "{sound}"},
    {"type": "audio", "path": "{folder}/sound"},
    {"type": "audio"},
]


@st.composite
def media_calls(draw: st.DrawFn) -> dict[str, Any]:
    """A call of `apply_chat_template` with pictures or recordings."""
    name, chunks = draw(st.sampled_from([("v3-tekken-mm", PICTURES), (HEARING, SOUNDS), ("v3", PICTURES)]))
    some = st.lists(st.sampled_from(chunks), min_size=1, max_size=3)
    message = some.map(lambda found: [{"role": "user", "content": [*found, {"type": "text", "text": "What?"}]}])
    chats = draw(st.one_of(message, st.lists(message, min_size=1, max_size=2)))
    known = {key: CHAT[key] for key in ("padding", "return_tensors", "tokenize")} | {"return_dict": st.booleans()}
    return {"file": name, "member": "apply_chat_template", "args": [chats], "kwargs": draw(options(known))}


@st.composite
def calls(draw: st.DrawFn, member: str) -> dict[str, Any]:
    """A call of one method."""
    init = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "truncation_side": st.sampled_from(["left", "right"]),
                "padding_side": st.sampled_from(["left", "right"]),
                "model_max_length": st.sampled_from([6]),
                "clean_up_tokenization_spaces": st.booleans(),
            },
        )
    )
    args, kwargs = draw(arguments(member))
    mode = draw(st.sampled_from(["test", "test", "finetuning", "serving"]))
    return {
        "file": draw(st.sampled_from(NAMES)),
        "mode": mode,
        "init": init,
        "member": member,
        "args": args,
        "kwargs": kwargs,
    }


def arguments(member: str) -> st.SearchStrategy[tuple[list[Any], dict[str, Any]]]:
    """Positional and keyword arguments of a method."""
    token = st.sampled_from(["Hello", "▁Hello", "<s>", "[INST]", "▁", "<0x0A>", "zzzzzzz", "\ufffd", "", "<pad>"])
    row = st.one_of(IDS, st.just([]), st.just([-1]), st.just([999999]))
    rows = st.lists(IDS, max_size=3)
    decoding = {
        "skip_special_tokens": st.booleans(),
        "clean_up_tokenization_spaces": st.sampled_from([None, True, False]),
    }
    known: dict[str, tuple[st.SearchStrategy[Any], dict[str, st.SearchStrategy[Any]]]] = {
        "__call__": (INPUTS, BATCH),
        "encode": (INPUTS, OPTIONS),
        "prepare_for_model": (IDS, BATCH | {"prepend_batch_axis": st.booleans()}),
        "pad": (features(), {k: v for k, v in BATCH.items() if k in PAD_OPTIONS}),
        "decode": (st.one_of(row, st.integers(0, 40), rows), decoding),
        "batch_decode": (st.one_of(rows, IDS), decoding),
        "tokenize": (TEXTS, {}),
        "convert_tokens_to_ids": (st.one_of(token, st.lists(token, max_size=3)), {}),
        "convert_ids_to_tokens": (st.one_of(st.integers(-1, 40), row), {"skip_special_tokens": st.booleans()}),
        "get_special_tokens_mask": (row, {"already_has_special_tokens": st.booleans()}),
        "build_inputs_with_special_tokens": (IDS, {}),
        "truncate_sequences": (
            IDS,
            {
                "num_tokens_to_remove": st.integers(-1, 9),
                "stride": st.integers(0, 3),
                "truncation_strategy": st.sampled_from(["longest_first", "do_not_truncate", "only_first", "zz"]),
            },
        ),
        "apply_chat_template": (
            st.one_of(conversations(), st.lists(conversations(), min_size=1, max_size=3)),
            CHAT | {"return_dict": st.booleans()},
        ),
    }  # fmt: skip
    first, keywords = known[member]
    return st.tuples(first.map(lambda value: [value]), options(keywords))


PAD_OPTIONS = ("padding", "max_length", "pad_to_multiple_of", "padding_side", "return_attention_mask", "return_tensors")


@st.composite
def features(draw: st.DrawFn) -> Any:
    """What was encoded before, as a mapping or a list of them."""
    rows = draw(st.lists(IDS, min_size=1, max_size=3))
    columns: dict[str, Any] = {"input_ids": rows}
    if draw(st.booleans()):
        columns["attention_mask"] = [[1] * len(row) for row in rows]
    if draw(st.booleans()):
        columns["special_tokens_mask"] = [[0] * len(row) for row in rows]
    if draw(st.integers(0, 3)) == 0:
        columns["labels"] = [list(row) for row in rows]
    form = draw(st.sampled_from(["mapping", "list", "single"]))
    if form == "mapping":
        return columns
    parts = [{name: values[i] for name, values in columns.items()} for i in range(len(rows))]
    return parts if form == "list" else parts[0]
