"""Names that mistral-common's users know: control tokens, tokenizer versions, and models of former times."""

from __future__ import annotations

from enum import StrEnum


class SpecialTokens(StrEnum):
    """Control tokens by what they are for.

    >>> SpecialTokens.begin_inst.value
    '[INST]'
    """

    unk = "<unk>"
    bos = "<s>"
    eos = "</s>"
    begin_inst = "[INST]"
    end_inst = "[/INST]"
    begin_tools = "[AVAILABLE_TOOLS]"
    end_tools = "[/AVAILABLE_TOOLS]"
    begin_tool_results = "[TOOL_RESULTS]"
    end_tool_results = "[/TOOL_RESULTS]"
    tool_calls = "[TOOL_CALLS]"
    img = "[IMG]"
    pad = "<pad>"
    img_break = "[IMG_BREAK]"
    img_end = "[IMG_END]"
    prefix = "[PREFIX]"
    middle = "[MIDDLE]"
    suffix = "[SUFFIX]"
    begin_system = "[SYSTEM_PROMPT]"
    end_system = "[/SYSTEM_PROMPT]"
    begin_tool_content = "[TOOL_CONTENT]"
    args = "[ARGS]"
    call_id = "[CALL_ID]"
    audio = "[AUDIO]"
    begin_audio = "[BEGIN_AUDIO]"
    transcribe = "[TRANSCRIBE]"
    begin_think = "[THINK]"
    end_think = "[/THINK]"
    streaming_pad = "[STREAMING_PAD]"
    streaming_word = "[STREAMING_WORD]"
    text_to_audio = "[NEXT_AUDIO_TEXT]"
    audio_to_text = "[REPEAT_AUDIO_TEXT]"
    begin_model_settings = "[MODEL_SETTINGS]"
    end_model_settings = "[/MODEL_SETTINGS]"


class TokenizerVersion(StrEnum):
    """Tokenizer versions, ordered by age; each is equal to its name.

    >>> TokenizerVersion.v7 < TokenizerVersion.v13 == "v13"
    True
    """

    v1 = "v1"
    v2 = "v2"
    v3 = "v3"
    v7 = "v7"
    v11 = "v11"
    v13 = "v13"
    v15 = "v15"

    @property
    def version_num(self) -> int:
        """The number in the name."""
        return int(self.value[1:])

    @property
    def supports_model_settings(self) -> bool:
        """Whether conversations may have model settings."""
        return self >= TokenizerVersion.v15

    def __lt__(self, other: str) -> bool:
        return self.version_num < TokenizerVersion(other).version_num

    def __le__(self, other: str) -> bool:
        return self.version_num <= TokenizerVersion(other).version_num

    def __gt__(self, other: str) -> bool:
        return self.version_num > TokenizerVersion(other).version_num

    def __ge__(self, other: str) -> bool:
        return self.version_num >= TokenizerVersion(other).version_num


VOCABULARY_OF_MODEL = {
    "mistral-medium-2312": "v1",
    "mistral-tiny-2312": "v2",
    "mistral-small-2312": "v2",
    "mistral-small-2402": "v2",
    "mistral-large-2402": "v2",
    "mistral-tiny-2407": "v3",
    "mistral-large-2407": "v3",
    "open-mixtral-8x22b-2404": "v3",
    "codestral-2405": "v3",
    "codestral-mamba-2407": "v3",
    "open-mistral-nemo-2407": "v3-tekken",
    "ministral-8b-2410": "v3-tekken",
    "mistral-small-2409": "v3-tekken",
    "pixtral-12b-2409": "v3-tekken-mm",
    "mistral-large-2411": "v7",
    "pixtral-large-2411": "v7-mm",
}
"""Names under which models were served until the end of 2024 → the vocabulary on board that each uses."""
