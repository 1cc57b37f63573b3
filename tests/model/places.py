"""tiny-mistral with its tokenizer in each of the three forms: official file, tokenizer.json, GGUF."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

from mistral_tok.model import MistralForCausalLM

from mistral_tok import Tokenizer
from mistral_tok.load import find, parse
from mistral_tok.templates import template_for

from .files import write_gguf

ROOT = Path(__file__).parents[2]
TINY = ROOT / "fixtures" / "tiny-mistral"
OFFICIAL = TINY / "tokenizer.model.v3"


def conversations() -> dict[str, dict[str, Any]]:
    """What the model knows by heart, by name."""
    found = json.loads((TINY / "conversations.json").read_text(encoding="utf-8"))
    return {conversation["name"]: conversation for conversation in found}


KNOWN = conversations()
ASKED = {name: found["messages"][:1] for name, found in KNOWN.items() if name in ("capital", "languages", "code")}
TREASURE = KNOWN["pirate"]["messages"][:2]


def answer(name: str) -> dict[str, Any]:
    """What the model learnt to answer to the first message."""
    return next(message for message in KNOWN[name]["messages"] if message["role"] == "assistant")


def template() -> str:
    """The chat template of version 3, for any last message."""
    return template_for(Tokenizer.from_file(OFFICIAL), version="v3", mode="agnostic")


def write_hugging_face(folder: Path) -> Path:
    """The model with tokenizer.json and chat_template.jinja."""
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(TINY / name, folder)
    special = {"<unk>": 0, **Tokenizer.from_file(OFFICIAL).special_names}
    added = [
        {"id": i, "content": name, "special": True, "normalized": False}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        for name, i in special.items()
    ]
    bos = {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}
    single = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    after = {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": bos}
    file = {**_converter().sentencepiece_json(OFFICIAL), "added_tokens": added, "post_processor": after}
    (folder / "tokenizer.json").write_text(json.dumps(file, ensure_ascii=False), encoding="utf-8")
    roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **roles}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template(), encoding="utf-8")
    return folder


def write_gguf_file(folder: Path) -> Path:
    """The model, its vocabulary and its template in one GGUF file."""
    folder.mkdir()
    path = folder / "tiny.gguf"
    vocabulary = parse(find(OFFICIAL).read())
    write_gguf(MistralForCausalLM.from_pretrained(TINY), path, vocabulary=vocabulary, chat_template=template())
    return path


def _converter() -> Any:
    """The benchmarks' writer of tokenizer.json, which is no part of a package that tests could import."""
    spec = importlib.util.spec_from_file_location("convert", ROOT / "tests" / "benchmarks" / "convert.py")
    if spec is None or spec.loader is None:
        raise ImportError("tests/benchmarks/convert.py is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
