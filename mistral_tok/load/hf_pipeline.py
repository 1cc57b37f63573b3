"""The steps of a Hugging Face `tokenizer.json` around its BPE model: which combinations can be followed exactly.

Steps are compared whole, key by key, with those that are known: a setting that nobody has met is refused rather than
ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mistral_tok.errors import VocabularyError
from mistral_tok.load.source import MAX_PATTERN, refused
from mistral_tok.vocab import SPACE, Family, Prefix

Step = Mapping[str, object]

GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""What ByteLevel splits by when `use_regex` is on."""

GPT2_DIGITS_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"
"""The same behind a Digits step that isolates each digit.

A space before a digit then ends its segment, so it never joins the digit, and white space before a digit counts as
white space at the end of a text does: nothing is given back.
"""

_KEYS = {
    "normalizer": "normalizers",
    "pre_tokenizer": "pretokenizers",
    "decoder": "decoders",
    "post_processor": "processors",
}
_PREPEND = {"type": "Prepend", "prepend": SPACE}
_REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
_LLAMA_DECODER = [
    {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
]
_REMEDY = (
    "Read are Llama-style files (Prepend and Replace, or Metaspace) and byte-level files with one Split or the GPT-2 "
    "pattern. Use the tokenizers package, or the official file of the model."
)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """How a file prepares text, in the terms of a Vocabulary.

    `prefix_each_part`: when user-defined pieces cut a text up, each part between them gets the prefix, not only one at
    the very start. `drops_gaps`: what the pattern does not match is dropped
    instead of being a part of its own. `normalizes`: added tokens with `normalized` are looked for in rewritten text.
    """

    family: Family
    prefix: Prefix = "never"
    prefix_each_part: bool = True
    split_spaces: bool = False
    pattern: str | None = None
    drops_gaps: bool = False
    normalizes: bool = False


def steps(root: Step | None, section: str, name: str) -> list[Step]:
    """The steps of a section in order, Sequences unpacked; without recursion, because files may nest at will."""
    result: list[Step] = []
    pending: list[object] = [] if root is None else [root]
    while pending:
        step = pending.pop()
        if not isinstance(step, dict):
            raise refused(name, f"$.{section}", f"a step is {str(step)[:40]!r} instead of an object", _REMEDY)
        if step.get("type") != "Sequence":
            result.append(step)
            continue
        inner = step.get(_KEYS[section])
        if not isinstance(inner, list):
            raise refused(name, f"$.{section}.{_KEYS[section]}", "missing or not a list", _REMEDY)
        pending.extend(reversed(inner))
    return result


def understand(normalizer: Step | None, pre_tokenizer: Step | None, decoder: Step | None, name: str) -> Pipeline:
    """Recognise the pipeline; VocabularyError names the step that cannot be followed."""
    norm, pre = steps(normalizer, "normalizer", name), steps(pre_tokenizer, "pre_tokenizer", name)
    if any(step.get("type") == "ByteLevel" for step in pre):
        if norm:
            raise _unknown(norm[0], "normalizer", name)
        _check_byte_decoder(steps(decoder, "decoder", name), name)
        pattern = _byte_level(pre, name)
        return Pipeline("bytelevel", pattern=pattern, drops_gaps=pre[0].get("behavior") == "Removed")
    pipeline = _llama(norm, pre, name)
    _check_llama_decoder(steps(decoder, "decoder", name), pipeline.prefix, name)
    return pipeline


def _unknown(step: Step, section: str, name: str) -> VocabularyError:
    shown = ", ".join(f"{key}={str(value)[:40]}" for key, value in list(step.items())[:8])
    return refused(name, f"$.{section}", f"a step that cannot be followed exactly ({shown})", _REMEDY)


def _llama(norm: list[Step], pre: list[Step], name: str) -> Pipeline:
    if not pre and norm in ([_PREPEND, _REPLACE], [_REPLACE]):
        return Pipeline("sentencepiece", prefix="always" if len(norm) == 2 else "never", normalizes=True)
    if norm:
        raise _unknown(norm[0], "normalizer", name)
    if len(pre) != 1:
        problem = "no step that puts SentencePiece's spaces or GPT-2's bytes in place" if not pre else "several steps"
        raise refused(name, "$.pre_tokenizer", problem, _REMEDY)
    scheme, split = _metaspace(pre[0], "pre_tokenizer", name)
    prefix: Prefix = "never" if scheme == "never" else "unless-space"
    return Pipeline("sentencepiece", prefix=prefix, prefix_each_part=scheme != "first", split_spaces=split)


def _metaspace(step: Step, section: str, name: str) -> tuple[str, bool]:
    """Prepend scheme and `split` of a Metaspace step; older files have `add_prefix_space` instead of the scheme."""
    known = {"type", "replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"}
    if step.get("type") != "Metaspace" or step.get("replacement") != SPACE or not known.issuperset(step):
        raise _unknown(step, section, name)
    scheme, split = step.get("prepend_scheme", "always"), step.get("split", True)
    added = step.get("add_prefix_space", True)
    if scheme not in ("always", "first", "never") or not isinstance(split, bool) or not isinstance(added, bool):
        raise _unknown(step, section, name)
    if not added and scheme != "never":
        raise refused(name, f"$.{section}", f"add_prefix_space=False contradicts prepend_scheme={scheme}", _REMEDY)
    return str(scheme), split


def _byte_level(pre: list[Step], name: str) -> str | None:
    """The one pattern that splits text as the steps do one after another."""
    last = pre[-1]
    known = {"type", "add_prefix_space", "trim_offsets", "use_regex"}
    if last.get("type") != "ByteLevel" or not known.issuperset(last):
        raise _unknown(last, "pre_tokenizer", name)
    if last.get("add_prefix_space") is not False:
        problem = "ByteLevel adds a prefix space, which differs from segment to segment"
        raise refused(name, "$.pre_tokenizer.add_prefix_space", problem, _REMEDY)
    own = last.get("use_regex", True)
    if not isinstance(own, bool):
        raise _unknown(last, "pre_tokenizer", name)
    if len(pre) == 1:
        return GPT2_PATTERN if own else None
    if len(pre) == 2 and own and pre[0] == {"type": "Digits", "individual_digits": True}:
        return GPT2_DIGITS_PATTERN
    if len(pre) == 2 and not own:
        return _split_pattern(pre[0], name)
    raise refused(name, "$.pre_tokenizer", f"{len(pre)} steps that no single pattern replaces", _REMEDY)


def _split_pattern(step: Step, name: str) -> str:
    behaviour = (step.get("behavior"), step.get("invert"))
    pattern = step.get("pattern")
    if step.get("type") != "Split" or set(step) != {"type", "pattern", "behavior", "invert"}:
        raise _unknown(step, "pre_tokenizer", name)
    if behaviour not in (("Isolated", False), ("Removed", True)):
        problem = f"Split with behavior={behaviour[0]}, invert={behaviour[1]}"
        raise refused(name, "$.pre_tokenizer", problem, f"Isolated, and Removed with invert, are read. {_REMEDY}")
    if not isinstance(pattern, dict) or set(pattern) != {"Regex"} or not isinstance(pattern["Regex"], str):
        raise _unknown(step, "pre_tokenizer", name)
    text: str = pattern["Regex"]
    if not 0 < len(text) <= MAX_PATTERN:
        raise refused(name, "$.pre_tokenizer.pattern", f"{len(text)} characters", f"1 to {MAX_PATTERN} are read.")
    return text


def _check_byte_decoder(decoder: list[Step], name: str) -> None:
    if [step.get("type") for step in decoder] != ["ByteLevel"]:
        problem = "byte-level pieces, but the decoder is not ByteLevel alone"
        raise refused(name, "$.decoder", problem, _REMEDY)


def _check_llama_decoder(decoder: list[Step], prefix: Prefix, name: str) -> None:
    expected = _LLAMA_DECODER if prefix == "never" else [*_LLAMA_DECODER, _STRIP]
    if decoder != expected:
        problem = (
            f"not the steps that undo prefix {prefix!r} (Replace, ByteFallback, Fuse{', Strip' * (prefix != 'never')})"
        )
        raise refused(name, "$.decoder", problem, _REMEDY)
