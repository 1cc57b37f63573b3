"""What transformers' tokenizers are asked and told about added tokens and roles: here the vocabulary is fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mistral_tok.hf_tokens import Tokens


class Added(Tokens):
    """Tokens with the members that code for transformers expects where tokens can be added.

    What is there already may be added again, as collators and trainers do to be sure; anything new is a ValueError.
    """

    cls_token = sep_token = mask_token = None
    """Roles that these vocabularies do not have."""
    cls_token_id = sep_token_id = mask_token_id = None
    add_bos_token = True
    """Whether texts begin with BOS, unless a call says otherwise."""

    @property
    def add_eos_token(self) -> bool:
        """Whether texts end with EOS: in finetuning mode."""
        return self._ends[1] is not None

    @property
    def vocab(self) -> dict[str, int]:
        """Tokens → ids, as `get_vocab` gives them."""
        return self.get_vocab()

    @property
    def max_len_single_sentence(self) -> int:
        """How many ids of text fit into `model_max_length`."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def additional_special_tokens(self) -> list[str]:
        """The names of the control tokens that have no other role."""
        return [self._core.piece(token) for token in self.additional_special_tokens_ids]

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """The ids of the control tokens that have no other role."""
        roles = {self.bos_token_id, self.eos_token_id, self.unk_token_id, self.pad_token_id}
        return [token for token in self.all_special_ids if token not in roles]

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The control tokens by name."""
        return dict(sorted(self._core.special_names.items(), key=lambda item: item[1]))

    def get_added_vocab(self) -> dict[str, int]:
        """The control tokens, which in other vocabularies were added; the same as `added_tokens_encoder`."""
        return self.added_tokens_encoder

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """How many tokens were added: none, for all of them must be there; with `special_tokens`, as control tokens.

        Raises:
            ValueError: a token is not in the vocabulary, which is fixed.

        """
        given = new_tokens if isinstance(new_tokens, list | tuple) else [new_tokens]
        names = [str(getattr(token, "content", token)) for token in given]
        known = self._core.special_names if special_tokens else self.get_vocab()
        if missing := [name for name in names if name not in known]:
            kind = "control tokens" if special_tokens else "tokens"
            raise ValueError(
                f"`{self._place('add_tokens')}`: {missing[:5]} are no {kind} of this vocabulary, and none can be "
                "added: a model's ids are fixed. Use a control token that is there; see additional_special_tokens."
            )
        return 0

    def add_special_tokens(
        self, special_tokens_dict: Mapping[str, Any], replace_additional_special_tokens: bool = True
    ) -> int:
        """Give roles to tokens of the vocabulary; returns 0, for none is added. Only the padding token can be another.

        Raises:
            ValueError: a token is not in the vocabulary, or is not the one that has the role.

        """
        for role, value in special_tokens_dict.items():
            if role == "additional_special_tokens":
                self.add_tokens(list(value), special_tokens=True)
            elif role in ("bos_token", "eos_token", "unk_token", "pad_token"):
                setattr(self, role, str(getattr(value, "content", value)))
            else:
                raise ValueError(f"`{self._place('add_special_tokens')}`: there is no role {role!r} here.")
        return 0

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text of tokens. What a name cannot tell, because it is no whole character, is U+FFFD."""
        return self._core.decode([self._id(token) for token in tokens], special="keep")

    def _convert_id_to_token(self, index: int) -> str:
        """The name of an id; transformers' stop strings ask for it by this name."""
        return self._core.piece(index)

    def create_token_type_ids_from_sequences(self, token_ids_0: Sequence[int], token_ids_1: None = None) -> list[int]:
        """A zero for each id with special tokens around: there is one kind of text only."""
        return [0] * len(self.build_inputs_with_special_tokens(token_ids_0, token_ids_1))
