"""What the rows of hf_differences.toml cover: each function has the name of its row.

A function gets a call and both answers. It returns None if the row says nothing about this call, else the answers with
what the row covers taken out, so that everything else is still compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Call = dict[str, Any]
Answer = dict[str, Any]
Pair = tuple[Answer, Answer] | None
Rule = Callable[[Call, Answer, Answer], Pair]


def _covered(condition: object, mine: Answer) -> Pair:
    return (mine, mine) if condition else None


def _kwargs(call: Call) -> dict[str, Any]:
    found: dict[str, Any] = call.get("kwargs", {})
    return found


def _items(call: Call) -> list[Any]:
    """What is encoded, one by one."""
    value = call["args"][0]
    single = isinstance(value, str) or not isinstance(value, list) or (value and isinstance(value[0], int))
    return [value] if single else value


def _special(call: Call) -> bool:
    return bool(_kwargs(call).get("add_special_tokens", True))


def _without(answer: Answer, *names: str) -> Answer:
    value = answer.get("ok")
    if not isinstance(value, dict):
        return answer
    return {"ok": {name: item for name, item in value.items() if name not in names}}


def _flat(value: Any) -> list[Any]:
    return [x for item in value for x in _flat(item)] if isinstance(value, list) else [value]


def serving_eos(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered(call.get("mode") == "serving" and _special(call), mine)


def eos_always(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered(_special(call) and any(isinstance(item, str) for item in _items(call)), mine)


def ids_as_they_are(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered(_special(call) and any(isinstance(item, list) for item in _items(call)), mine)


def negative_ids(call: Call, mine: Answer, theirs: Answer) -> Pair:
    negative = any(isinstance(x, int) and x < 0 for x in _flat(call["args"]))
    return _covered(negative and "error" in mine, mine)


def unknown_arguments(call: Call, mine: Answer, theirs: Answer) -> Pair:
    unknown = _kwargs(call).keys() & {"foo", "is_split_into_words", "text_pair", "documents"}
    return _covered(unknown and mine.get("error") == "ValueError", mine)


def empty_batch(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered(call["args"][0] == [], mine)


def padding_side(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered(_kwargs(call).get("padding_side") == "middle" and mine.get("error") == "ValueError", mine)


def ragged_arrays(call: Call, mine: Answer, theirs: Answer) -> Pair:
    objects = "'dtype': 'object'" in str(theirs.get("ok"))
    return _covered(_kwargs(call).get("return_tensors") == "np" and objects and "error" in mine, mine)


def windows(call: Call, mine: Answer, theirs: Answer) -> Pair:
    if not _kwargs(call).get("return_overflowing_tokens"):
        return _covered("stride is" in mine.get("message", ""), mine)
    if not isinstance(mine.get("ok"), dict) or "overflow_to_sample_mapping" not in mine["ok"]:
        return _covered("stride is" in mine.get("message", ""), mine)
    mapping = mine["ok"]["overflow_to_sample_mapping"]
    while isinstance(mapping, dict):
        mapping = mapping.get("pt") or mapping.get("array")
    cut = mapping != list(range(len(mapping)))
    rest = _without(mine, "overflow_to_sample_mapping")
    return (mine, mine) if cut else (rest, _without(theirs, "overflowing_tokens", "num_truncated_tokens"))


def overflow_always(call: Call, mine: Answer, theirs: Answer) -> Pair:
    if not _kwargs(call).get("return_overflowing_tokens"):
        return None
    if "error" in theirs:
        return mine, mine
    names = ("overflowing_tokens", "num_truncated_tokens")
    return _without(mine, *names), _without(theirs, *names)


def no_room(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered("max_length is" in mine.get("message", ""), mine)


def labels(call: Call, mine: Answer, theirs: Answer) -> Pair:
    if "'labels'" not in str(call["args"]):
        return None
    return (mine, mine) if "error" in theirs else (_without(mine, "labels"), _without(theirs, "labels"))


def mask_unpadded(call: Call, mine: Answer, theirs: Answer) -> Pair:
    if _kwargs(call).get("return_attention_mask") is not False or "'attention_mask'" not in str(call["args"]):
        return None
    return (mine, mine) if "error" in theirs else (_without(mine, "attention_mask"), _without(theirs, "attention_mask"))


def only_first(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered(_kwargs(call).get("truncation") == "only_first" and "no pairs" in mine.get("message", ""), mine)


def return_dict(call: Call, mine: Answer, theirs: Answer) -> Pair:
    value = theirs.get("ok")
    if "return_dict" in _kwargs(call) or not isinstance(value, dict) or "input_ids" not in value:
        return None
    return mine, {"ok": value["input_ids"]}


def generation_prompt(call: Call, mine: Answer, theirs: Answer) -> Pair:
    words = theirs.get("message", "")
    return _covered(
        any(name in _kwargs(call) and name in words for name in ("add_generation_prompt", "documents")), mine
    )


def mistral_common_1_8_5(call: Call, mine: Answer, theirs: Answer) -> Pair:
    continued = _kwargs(call).get("continue_final_message") and not call["file"].startswith(("v1", "v2", "v3"))
    results = "'tool'" in str(call["args"])
    return _covered(continued or results, mine)


def sentencepiece_broken(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered("tekken" not in call["file"] and "'set' object is not callable" in theirs.get("message", ""), mine)


def sentencepiece_padding(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered("tekken" not in call["file"] and theirs.get("ok", -1) == -1, mine)


def added_members(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered(theirs.get("error") == "AttributeError", mine)


def special_mask(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered(True, mine)


def token_ids(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered("tekken" in call["file"], mine)


def decode_shapes(call: Call, mine: Answer, theirs: Answer) -> Pair:
    flat = call["member"] == "batch_decode" and all(isinstance(x, int) for x in call["args"][0])
    return _covered(flat or theirs.get("error") in ("TypeError", "ValueError"), mine)


def cleaning(call: Call, mine: Answer, theirs: Answer) -> Pair:
    made = call.get("init", {}).get("clean_up_tokenization_spaces")
    return _covered(made and _kwargs(call).get("clean_up_tokenization_spaces") is False, mine)


def language_prefix(call: Call, mine: Answer, theirs: Answer) -> Pair:
    texts = mine.get("ok")
    dropped = [text for text in (texts if isinstance(texts, list) else [texts]) if str(text).startswith("lang:")]
    return _covered(dropped and _kwargs(call).get("skip_special_tokens"), mine)


def removing_all(call: Call, mine: Answer, theirs: Answer) -> Pair:
    count = _kwargs(call).get("num_tokens_to_remove", 0)
    return _covered(count >= len(call["args"][0]) or (count <= 0 and "error" in mine), mine)


def _addresses(call: Call) -> bool:
    return "{server}" in str(call["args"])


def http_addresses(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered(_addresses(call) and "is not fetched" in mine.get("message", ""), mine)


def image_padding(call: Call, mine: Answer, theirs: Answer) -> Pair:
    tensors = _kwargs(call).get("return_tensors") in ("np", "pt")
    words = ("inhomogeneous", "same shape", "expected sequence of length")
    return _covered(tensors and any(part in theirs.get("message", "") for part in words), mine)


def image_sizes(call: Call, mine: Answer, theirs: Answer) -> Pair:
    found = mine.get("ok")
    there = isinstance(found, dict) and "image_sizes" in found
    return (_without(mine, "image_sizes"), theirs) if there else None


def audio_beside_tensors(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered(_kwargs(call).get("return_tensors") and theirs.get("error") == "NotImplementedError", mine)


def audio_files(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered("librosa" in theirs.get("message", ""), mine)


def audio_as_text(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered("'input_audio': '" in str(call["args"]) and theirs.get("error") == "ValidationError", mine)


def chunks_without_type(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered("missing required field `type`" in mine.get("message", ""), mine)


def chat_templates(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered(call["member"] != "apply_chat_template" or "chat_template" in _kwargs(call), mine)


def fixed_vocabulary(call: Call, mine: Answer, theirs: Answer) -> Pair:
    return _covered(True, mine)


def arguments_that_change_nothing(call: Call, mine: Answer, theirs: Answer) -> Pair:
    names = {"return_token_type_ids", "split_special_tokens", "spaces_between_special_tokens"}
    names |= {"tokenizer_kwargs", "sanitize_control_tokens"}
    return _covered(names & _kwargs(call).keys(), mine)


def rule(name: str) -> Rule:
    """The function of a row."""
    found: Rule = globals()[name.replace("-", "_")]
    return found
