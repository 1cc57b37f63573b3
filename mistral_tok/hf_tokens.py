"""Tokens and ids by name, and ids → text: the part of the Hugging Face interface that needs no batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast, overload

from mistral_tok.hf_options import UNBOUNDED, refuse_pairs, refuse_unknown
from mistral_tok.mistral import MistralTokenizer

PAD = "<pad>"
_SPACED = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")


class Tokens:
    """A conversation tokenizer seen as a table of tokens, the special ones by role."""

    model_max_length: int = UNBOUNDED
    clean_up_tokenization_spaces: bool = False

    def __init__(self, tokenizer: MistralTokenizer) -> None:
        self.tokenizer = tokenizer
        self._core = core = tokenizer.tokenizer
        self._pad_token_id = core.pad_id if core.pad_id is not None else core.unk_id or 0
        self._pad_token = PAD if core.pad_id is None else core.piece(core.pad_id)
        self._vocab: dict[str, int] | None = None
        self._pieces: list[str] | None = None

    def _place(self, method: str) -> str:
        return f"{type(self).__name__}.{method}"

    # Special tokens.

    @property
    def mode(self) -> Any:
        """The validation mode, `ValidationMode.test` by default."""
        return self.tokenizer.mode

    @property
    def bos_token_id(self) -> int:
        """The id that begins a sequence."""
        return cast(int, self._core.bos_id)

    @property
    def eos_token_id(self) -> int:
        """The id that ends a sequence."""
        return cast(int, self._core.eos_id)

    @property
    def unk_token_id(self) -> int | None:
        """The id of the unknown token."""
        return self._core.unk_id

    @property
    def pad_token_id(self) -> int:
        """The id that batches are padded with: of `<pad>`, or of the unknown token where a vocabulary has no padding.

        It can be set, and so can `pad_token`.
        """
        return self._pad_token_id

    @pad_token_id.setter
    def pad_token_id(self, value: int) -> None:
        self._pad_token = self._core.piece(value)
        self._pad_token_id = int(value)

    @property
    def pad_token(self) -> str:
        """The name of the token that batches are padded with."""
        return self._pad_token

    @pad_token.setter
    def pad_token(self, value: str) -> None:
        try:
            self._pad_token_id = self._core.id(value)
        except KeyError:
            raise ValueError(f"pad_token {value!r} is no token of this vocabulary; tokens cannot be added.") from None
        self._pad_token = value

    @property
    def bos_token(self) -> str:
        """The name of the token that begins a sequence."""
        return self._core.piece(self.bos_token_id)

    @bos_token.setter
    def bos_token(self, value: str) -> None:
        self._keep_role("bos_token", value)

    @property
    def eos_token(self) -> str:
        """The name of the token that ends a sequence."""
        return self._core.piece(self.eos_token_id)

    @eos_token.setter
    def eos_token(self, value: str) -> None:
        self._keep_role("eos_token", value)

    @property
    def unk_token(self) -> str | None:
        """The name of the unknown token."""
        return None if self.unk_token_id is None else self._core.piece(self.unk_token_id)

    @unk_token.setter
    def unk_token(self, value: str) -> None:
        self._keep_role("unk_token", value)

    def _keep_role(self, role: str, value: str) -> None:
        """Refuse another token than the vocabulary's own, by which conversations are laid out."""
        own = getattr(self, role)
        if value != own:
            raise ValueError(f"{role} is {own!r} in this vocabulary and cannot become {value!r}; only pad_token can.")

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of all control tokens, in order."""
        return sorted(self._core.special_ids)

    @property
    def all_special_tokens(self) -> list[str]:
        """The names of all control tokens, in the order of their ids."""
        return [self._core.piece(token) for token in self.all_special_ids]

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """The names of the special tokens by role."""
        roles = {"bos_token": self.bos_token, "eos_token": self.eos_token, "unk_token": self.unk_token}
        return {role: name for role, name in {**roles, "pad_token": self.pad_token}.items() if name is not None}

    # The vocabulary.

    @property
    def vocab_size(self) -> int:
        """How many ids there are."""
        return self._core.vocab_size

    def __len__(self) -> int:
        return self._core.vocab_size

    def get_vocab(self) -> dict[str, int]:
        """Tokens → ids, in the order of ids; a fresh dict.

        A Tekken piece that is no whole character has no name of its own. Such names stand for the unknown token, as
        in `convert_tokens_to_ids`.
        """
        if self._vocab is None:
            found: dict[str, int] = {piece: self._id(piece) for piece in self._names()}
            self._vocab = dict(sorted(found.items(), key=lambda item: item[1]))
        return dict(self._vocab)

    def _names(self) -> list[str]:
        """The name of each id."""
        if self._pieces is None:
            self._pieces = [self._core.piece(i) for i in range(self._core.vocab_size)]
        return self._pieces

    def _id(self, token: str) -> int:
        try:
            return self._core.id(token)
        except KeyError:
            return self._core.unk_id or 0

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...
    @overload
    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]: ...
    def convert_tokens_to_ids(self, tokens: str | list[str]) -> int | list[int]:
        """The id of a token, or of each of several; that of the unknown token for what is no token."""
        if isinstance(tokens, str):
            return self._id(tokens)
        return [self._id(token) for token in tokens]

    @overload
    def convert_ids_to_tokens(self, ids: int, skip_special_tokens: bool = False) -> str: ...
    @overload
    def convert_ids_to_tokens(self, ids: Iterable[int], skip_special_tokens: bool = False) -> list[str]: ...
    def convert_ids_to_tokens(self, ids: int | Iterable[int], skip_special_tokens: bool = False) -> str | list[str]:
        """The token of an id, or of each of several, control tokens left out if asked for.

        Raises:
            ValueError: an id is not in the vocabulary, or the only id is a control token and was to be left out.

        """
        if is_number(ids):
            if skip_special_tokens and ids in self._core.special_ids:
                raise ValueError(f"Invalid token id {ids}: it is a control token, and skip_special_tokens is set.")
            return self._core.piece(ids)  # type: ignore[arg-type]
        rows = ids.tolist() if hasattr(ids, "tolist") else ids
        skipped: Any = self._core.special_ids if skip_special_tokens else ()
        return [self._core.piece(token) for token in rows if token not in skipped]  # type: ignore[union-attr]

    def tokenize(self, text: str, **kwargs: Any) -> list[str]:
        """The tokens of a text, without special tokens."""
        refuse_unknown(self._place("tokenize"), kwargs)
        return [self._core.piece(token) for token in self._core.encode(text, errors=self._errors)]

    @property
    def _errors(self) -> Any:
        """What is done with a lone surrogate: SentencePiece files refuse it, Tekken files replace it."""
        return "strict" if self._core.family == "sentencepiece" else "replace"

    # Special tokens around a sequence.

    @property
    def _ends(self) -> tuple[int, int | None]:
        """The ids in front of and behind a text."""
        return self.bos_token_id, self.eos_token_id if self.mode == "finetuning" else None

    def build_inputs_with_special_tokens(self, token_ids_0: Sequence[int], token_ids_1: None = None) -> list[int]:
        """Ids with BOS in front, and in finetuning mode EOS behind."""
        refuse_pairs(self._place("build_inputs_with_special_tokens"), token_ids_1=token_ids_1)
        bos, eos = self._ends
        return [bos, *token_ids_0, *([] if eos is None else [eos])]

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many ids `build_inputs_with_special_tokens` adds."""
        refuse_pairs(self._place("num_special_tokens_to_add"), pair=pair or None)
        return 1 if self._ends[1] is None else 2

    def get_special_tokens_mask(
        self, token_ids_0: Sequence[int], token_ids_1: None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 for each control token. Ids without special tokens are seen as with those that would be added."""
        refuse_pairs(self._place("get_special_tokens_mask"), token_ids_1=token_ids_1)
        if already_has_special_tokens:
            special = self._core.special_ids
            return [int(int(token) in special) for token in token_ids_0]
        return [1] + [0] * len(token_ids_0) + [1] * (self._ends[1] is not None)

    # Ids → text.

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """The text of ids (an int, a list, an array, a tensor), or of each row of a batch.

        Control tokens are shown by name, or left out with `skip_special_tokens`. As in the libraries that this
        interface is known from, SentencePiece files show all pieces as they are (`▁`) while control tokens are shown.
        """
        kwargs.pop("spaces_between_special_tokens", None)  # there are none either way
        refuse_unknown(self._place("decode"), kwargs)
        rows = token_ids.tolist() if hasattr(token_ids, "tolist") else token_ids
        if isinstance(rows, list | tuple) and rows and not is_number(rows[0]):
            return self._texts(rows, skip_special_tokens, clean_up_tokenization_spaces)
        return self._texts([[rows] if is_number(rows) else rows], skip_special_tokens, clean_up_tokenization_spaces)[0]

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """The text of each row of ids, as `decode` gives it; a flat list of ids is one row."""
        kwargs.pop("spaces_between_special_tokens", None)
        refuse_unknown(self._place("batch_decode"), kwargs)
        rows = sequences.tolist() if hasattr(sequences, "tolist") else list(sequences)
        if rows and is_number(rows[0]):
            rows = [rows]
        return self._texts(rows, skip_special_tokens, clean_up_tokenization_spaces)

    def _texts(self, rows: Sequence[Any], skip: bool, clean: bool | None) -> list[str]:
        if skip or self._core.family != "sentencepiece":
            texts = self._core.decode_batch(rows, special="ignore" if skip else "keep")
        else:
            texts = [self._shown(row) for row in rows]
        if self.clean_up_tokenization_spaces if clean is None else clean:
            return [self.clean_up_tokenization(text) for text in texts]
        return texts

    def _shown(self, row: Any) -> str:
        """The pieces of ids as they are."""
        ids = row.tolist() if hasattr(row, "tolist") else list(row)
        if ids and min(ids) < 0:
            raise ValueError(f"id is {min(ids)}; this vocabulary has the ids 0 to {self.vocab_size - 1}.")
        try:
            return "".join(map(self._names().__getitem__, ids))
        except IndexError:
            raise ValueError(f"id is {max(ids)}; this vocabulary has the ids 0 to {self.vocab_size - 1}.") from None

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """A text without the spaces that word tokenizers leave in front of punctuation and English contractions."""
        for spaced in _SPACED:
            out_string = out_string.replace(spaced, spaced.strip())
        return out_string


def is_number(value: Any) -> bool:
    """Whether this is one id, also as an array or tensor without dimensions."""
    return hasattr(value, "__index__") and not getattr(value, "ndim", 0)
