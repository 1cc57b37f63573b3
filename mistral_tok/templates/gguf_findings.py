"""What can be wrong with the text side of a GGUF file: what converters lose or set otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mistral_tok.load.gguf_head import Metadata, metadata, read_head
from mistral_tok.load.locate import GGUF_SUFFIX
from mistral_tok.templates.findings import Finding
from mistral_tok.tokenizer import Tokenizer

CONTROLS = (
    "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
    "[TOOL_CALLS]", "[IMG]", "[IMG_BREAK]", "[IMG_END]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
    "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]", "[MODEL_SETTINGS]", "[/MODEL_SETTINGS]", "[AUDIO]", "[BEGIN_AUDIO]",
)  # fmt: skip
"""Names that are control tokens wherever they are tokens."""

_KEY = "tokenizer.ggml."
_CONVERT = "Convert the model again with a converter that knows its vocabulary."
_PART = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$")
"""Parts of a file that was split: the first one alone holds the metadata."""


def holds_vocabulary(name: str) -> bool:
    """Whether a file is a GGUF file with a vocabulary: no later part of one, and no image projector."""
    return name.endswith(GGUF_SUFFIX) and "mmproj" not in name and _PART.search(name) is None


def head_of(path: Path) -> Metadata:
    """The metadata of a file, without its weights."""
    with open(path, "rb") as file:
        return metadata(read_head(file, path.stat().st_size, path.name), path.name)


def gguf_findings(path: Path, tokenizer: Tokenizer) -> Iterator[Finding]:
    """Token types, ids of BOS and EOS and whether they are added, the embedding, and whether there is a template."""
    name, head = path.name, head_of(path)
    plain = [control for control in CONTROLS if _is_piece(tokenizer, control)]
    if plain:
        evidence = f"{name}: token_type does not mark {plain[:5]} as control tokens, so that users can type them."
        yield Finding("control tokens", "error", evidence, _CONVERT)
    for role, usual in (("bos", "<s>"), ("eos", "</s>")):
        own, expected = getattr(tokenizer, f"{role}_id"), tokenizer.special_names.get(usual)
        if expected is not None and own != expected:
            evidence = f"{name}: {role}_token_id is {own}, {usual!r} has the id {expected}."
            yield Finding(f"{role} token", "error", evidence, f"Set {_KEY}{role}_token_id to {expected}.")
    if not tokenizer.config.get("add_bos"):
        evidence = f"{name}: add_bos_token is false: texts begin without the token that every training text began with."
        yield Finding("BOS added", "error", evidence, f"Set {_KEY}add_bos_token to true.")
    if tokenizer.config.get("add_eos"):
        evidence = f"{name}: add_eos_token is true: prompts end before the answer."
        yield Finding("EOS added", "error", evidence, f"Set {_KEY}add_eos_token to false.")
    if tokenizer.family == "sentencepiece" and not head.flag(_KEY + "add_space_prefix", True):
        evidence = f"{name}: add_space_prefix is false; Mistral's SentencePiece vocabularies have a dummy prefix."
        yield Finding("dummy prefix", "error", evidence, f"Set {_KEY}add_space_prefix to true.")
    rows = head.integer(f"{head.text('general.architecture')}.vocab_size")
    if rows is not None and rows < tokenizer.vocab_size:
        evidence = f"{name}: vocab_size is {rows}, and there are {tokenizer.vocab_size} tokens."
        yield Finding("embedding size", "error", evidence, _CONVERT)
    if tokenizer.chat_template is None:
        evidence = f"{name} has no chat template; engines then guess one."
        yield Finding("chat template", "warning", evidence, "Add tokenizer.chat_template.")


def _is_piece(tokenizer: Tokenizer, name: str) -> bool:
    """Whether a name is a token that ordinary text can become."""
    if name in tokenizer.special_names:
        return False
    try:
        return tokenizer.piece(tokenizer.id(name)) == name
    except KeyError:
        return False
