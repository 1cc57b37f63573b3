"""Heads that classify sequences and tokens or find answers, on top of the decoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from . import losses
from .cache import Cache
from .config import MistralConfig
from .errors import ModelError
from .modeling import MistralModel, Pretrained, initialize_head
from .outputs import HeadOutput, SpanOutput


class MistralForSequenceClassification(Pretrained):
    """The decoder with a score per label for a whole sequence, read from its last real token."""

    def __init__(self, config: MistralConfig, attention: str = "sdpa") -> None:
        super().__init__(config, attention)
        self.model = MistralModel(config, attention)
        self.score = nn.Linear(config.hidden_size, config.num_labels, bias=False)
        initialize_head(self.score, config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> HeadOutput:
        """Logits (batch, num_labels). The last real token is found by the mask, else by `pad_token_id`.

        Raises ModelError for several rows with neither, as padding would be scored.
        """
        out = self.model(input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, use_cache, **kwargs)
        x = out.last_hidden_state
        last = self._last_real(input_ids, attention_mask, x.shape[0], x.shape[1])
        logits = self.score(x[torch.arange(len(x), device=x.device), last])
        loss = None if labels is None else losses.per_sequence(logits, labels, self.config.problem_type)
        return HeadOutput(loss, logits, out.past_key_values, out.hidden_states, out.attentions)

    def _last_real(self, input_ids: Tensor | None, mask: Tensor | None, rows: int, length: int) -> Tensor | int:
        if mask is not None and mask.dim() == 2:
            real = mask[:, -length:] != 0
        elif self.config.pad_token_id is None and rows > 1:
            raise ModelError("several rows need an attention_mask, or a pad_token_id in the configuration.")
        elif input_ids is None or self.config.pad_token_id is None:
            return -1
        else:
            real = input_ids != self.config.pad_token_id
        return (torch.arange(length, device=real.device) * real).argmax(-1)


class MistralForTokenClassification(Pretrained):
    """The decoder with a score per label for every token."""

    def __init__(self, config: MistralConfig, attention: str = "sdpa") -> None:
        super().__init__(config, attention)
        self.model = MistralModel(config, attention)
        self.dropout = nn.Dropout(0.1 if config.classifier_dropout is None else config.classifier_dropout)
        self.score = nn.Linear(config.hidden_size, config.num_labels)
        initialize_head(self.score, config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> HeadOutput:
        """Logits (batch, length, num_labels); labels (batch, length), -100 where they do not count."""
        out = self.model(input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, use_cache, **kwargs)
        logits = self.score(self.dropout(out.last_hidden_state))
        loss = None if labels is None else losses.per_token(logits, labels)
        return HeadOutput(loss, logits, None, out.hidden_states, out.attentions)


class MistralForQuestionAnswering(Pretrained):
    """The decoder with the scores of being the first and the last token of an answer."""

    def __init__(self, config: MistralConfig, attention: str = "sdpa") -> None:
        super().__init__(config, attention)
        self.model = MistralModel(config, attention)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        initialize_head(self.qa_outputs, config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        **kwargs: Any,
    ) -> SpanOutput:
        """Start and end logits (batch, length); `start_positions` and `end_positions` (batch,)."""
        out = self.model(input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, **kwargs)
        start, end = self.qa_outputs(out.last_hidden_state).unbind(-1)  # each (batch, length)
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = losses.span(start, end, start_positions, end_positions)
        return SpanOutput(loss, start, end, out.hidden_states, out.attentions)
