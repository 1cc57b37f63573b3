"""The losses of the heads; labels of -100 do not count."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .errors import ModelError


def next_token(logits: Tensor, labels: Tensor, items: Tensor | int | None = None) -> Tensor:
    """Cross entropy of (batch, length, vocabulary) logits against the labels one token later.

    `items` divides the sum in place of the number of labels that count (for gradient accumulation).
    """
    if logits.shape[:2] != labels.shape:
        raise ModelError(
            f"labels have shape {tuple(labels.shape)}, the logits {tuple(logits.shape[:2])} tokens; give one label "
            "a token, and leave logits_to_keep at 0."
        )
    later = functional.pad(labels, (0, 1), value=-100)[:, 1:]
    return _entropy(logits.float().flatten(0, 1), later.reshape(-1).to(logits.device), items)


def per_token(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of (batch, length, labels) logits, token by token."""
    return functional.cross_entropy(logits.float().flatten(0, 1), labels.reshape(-1).to(logits.device))


def per_sequence(logits: Tensor, labels: Tensor, problem: str | None) -> Tensor:
    """Loss of (batch, labels) logits; the problem, if None, follows from the number of labels and their dtype."""
    count = logits.shape[-1]
    labels = labels.to(logits.device)
    if problem is None:
        integers = labels.dtype in (torch.long, torch.int)
        problem = "single_label_classification" if integers else "multi_label_classification"
        problem = "regression" if count == 1 else problem
    if problem == "regression":
        return (
            functional.mse_loss(logits.squeeze(-1), labels.squeeze(-1))
            if count == 1
            else functional.mse_loss(logits, labels)
        )
    if problem == "single_label_classification":
        return functional.cross_entropy(logits.view(-1, count), labels.view(-1))
    return functional.binary_cross_entropy_with_logits(logits, labels)


def span(start_logits: Tensor, end_logits: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Mean cross entropy of the first and the last token of a span; positions outside the text do not count."""
    length = start_logits.shape[1]
    losses = [
        functional.cross_entropy(logits, places.view(-1).to(logits.device).clamp(0, length), ignore_index=length)
        for logits, places in ((start_logits, starts), (end_logits, ends))
    ]
    return (losses[0] + losses[1]) / 2


def _entropy(logits: Tensor, labels: Tensor, items: Tensor | int | None) -> Tensor:
    if items is None:
        return functional.cross_entropy(logits, labels)
    return functional.cross_entropy(logits, labels, reduction="sum") / items
