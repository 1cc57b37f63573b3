"""FlexAttention on the CPU: compiled, for inference only; what it cannot do is refused. See gpu_check.py for GPUs."""

from __future__ import annotations

import shutil
import warnings

import pytest
import torch
from mistral_tok.model import ModelError

from .pairs import EXACT, padded, random_ids, small


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@torch.no_grad()
def test_padding_and_window() -> None:
    model = small(sliding_window=5, head_dim=16)
    ids, mask = padded([17, 9], "left")
    real = mask.bool()
    expected = model(ids, attention_mask=mask).logits[real]
    model.set_attention("flex")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's own
        logits = model(ids, attention_mask=mask).logits
    torch.testing.assert_close(logits[real], expected, **EXACT)
    # The weights come from the eager backend whichever is set, so asking for them changes nothing.
    out = model(ids, attention_mask=mask, output_attentions=True)
    torch.testing.assert_close(out.logits[real], expected, **EXACT)


def test_gradients_on_the_cpu_are_refused() -> None:
    model = small()
    model.set_attention("flex")
    with pytest.raises(ModelError, match="gradients on the CPU"):
        model(random_ids(1, 4))


@torch.no_grad()
def test_masks_made_by_the_caller_are_refused() -> None:
    model = small()
    model.set_attention("flex")
    with pytest.raises(ModelError, match="flex"):
        model(random_ids(1, 4), attention_mask=torch.ones(1, 1, 4, 4, dtype=torch.bool))
