"""MistralCommonTokenizer: the interface that Hugging Face's users know, without needing transformers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mistral_tok.batch import check_side
from mistral_tok.hf_chat import Chats
from mistral_tok.hf_files import Files
from mistral_tok.hf_options import UNBOUNDED, refuse_unknown
from mistral_tok.load.chat_template import in_use
from mistral_tok.mistral import MistralTokenizer


class MistralCommonTokenizer(Chats, Files):
    """A tokenizer for training and inference loops: texts and conversations to padded batches, and back.

    >>> from mistral_tok.load import bundled_path
    >>> tokenizer = MistralCommonTokenizer.from_pretrained(bundled_path("v3"))
    >>> tokenizer(["Hello", "Hello there"], padding=True)["input_ids"]
    [[0, 1, 23325], [1, 23325, 1504]]
    >>> tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}])
    [1, 3, 16127, 4]
    """

    is_fast = False
    """No part of it is transformers' own Rust tokenizer, which this name asks for; offsets are there all the same."""

    def __init__(
        self,
        tokenizer_path: str | os.PathLike[str],
        mode: Any = "test",
        model_max_length: int = UNBOUNDED,
        padding_side: str = "left",
        truncation_side: str = "right",
        model_input_names: Sequence[str] | None = None,
        clean_up_tokenization_spaces: bool = False,
        *,
        chat_template: Any = None,
        **kwargs: Any,
    ) -> None:
        """Read a vocabulary file, or a folder with one.

        `mode` is a validation mode or its name; in `finetuning` a text ends with EOS. `model_max_length` bounds
        truncation and padding where a call gives no `max_length`. `chat_template` is as if set as the attribute.

        Raises:
            ValueError: the file is no vocabulary, or an argument is not valid.

        """
        refuse_unknown(type(self).__name__, kwargs)
        names = ["input_ids", "attention_mask"] if model_input_names is None else model_input_names
        if isinstance(names, str) or not names or not all(isinstance(name, str) for name in names):
            raise ValueError(f"model_input_names is {model_input_names!r}; expected a list of names.")
        super().__init__(MistralTokenizer.from_file(tokenizer_path, getattr(mode, "value", mode)))
        self._path = Path(tokenizer_path)
        self._template_folder = self._path if self._path.is_dir() else self._path.parent
        if chat_template is None and in_use(self._template_folder):
            chat_template = self._beside()
        self.chat_template = chat_template
        self.name_or_path = str(tokenizer_path)
        self.model_max_length = model_max_length
        self.padding_side = check_side(padding_side, "padding_side")
        self.truncation_side = check_side(truncation_side, "truncation_side")
        self.model_input_names = list(names)
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        self.deprecation_warnings: dict[str, bool] = {}  # transformers' collators write into it

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map})"
        )
