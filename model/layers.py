"""The parts of a block that are not attention: norm, projections, gated feed-forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .prepack import Prepacked, blocked, prepackable, product, stand_in

FEW_ROWS = 16
"""Up to this many rows a product is bound by reading the weights, not by arithmetic."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": functional.silu,
    "swish": functional.silu,
    "gelu": functional.gelu,
    "gelu_pytorch_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "relu": functional.relu,
}


class RMSNorm(nn.Module):
    """Divide by the root mean square over the last axis and scale; computed in float32 whatever the dtype."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Linear(nn.Linear):
    """A linear map without bias; to everybody else an `nn.Linear`.

    Between `prepack` and `restore` the numbers lie in another order, and `weight` is a stand-in of the same shape, NaN
    throughout. What belongs to a module still works: its state is read and written as if nothing had happened.
    """

    _packed: Prepacked | None = None
    _shared = False
    _place = 0

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__(columns, rows, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        if self._packed is None or not self.prepacked:
            return functional.linear(input, self.weight)
        return self._packed.product(input)

    @property
    def prepacked(self) -> bool:
        """Whether the weight is in the other order, and nobody has put another one in its place since."""
        weight: Any = self._parameters["weight"]
        return self._packed is not None and weight.data_ptr() == self._place

    def prepack(self, shared: bool = False) -> None:
        """Prepack the weight, if this machine can use that; one that is `shared` with another module stays, too."""
        if not self.prepacked and prepackable(self.weight):
            self.take(blocked(self.weight, [len(self.weight)])[0], shared)

    def take(self, packed: Prepacked, shared: bool = False) -> None:
        """Go by a prepacked copy of the weight from here on."""
        self._packed, self._shared = packed, shared
        if not shared:
            self.weight.data = stand_in(self.weight)
        self._place = self.weight.data_ptr()

    def restore(self) -> None:
        """Give the weight its numbers back."""
        if self._packed is not None and self.prepacked and not self._shared:
            self.weight.data = self._packed.dense()
        self._packed = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        self.restore()
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self._packed is not None and self.prepacked and not self._shared:
            destination[prefix + "weight"] = self._packed.dense()

    def _load_from_state_dict(self, *args: Any) -> None:
        self.restore()
        super()._load_from_state_dict(*args)

    def __getstate__(self) -> dict[str, Any]:
        state = {key: value for key, value in self.__dict__.items() if key != "_packed"}
        if self._packed is not None and self.prepacked and not self._shared:
            weight = nn.Parameter(self._packed.dense(), self.weight.requires_grad)
            state["_parameters"] = {**self._parameters, "weight": weight}
        return state


def adjacent(weights: list[Tensor]) -> Tensor | None:
    """One view of matrices that already lie behind one another, as after a move that changed nothing; else None."""
    first = weights[0]
    place, storage = first.data_ptr(), first.untyped_storage().data_ptr()
    for weight in weights:
        if not weight.is_contiguous() or weight.data_ptr() != place or weight.untyped_storage().data_ptr() != storage:
            return None
        place += weight.numel() * weight.element_size()
    return first.as_strided((sum(len(w) for w in weights), first.shape[1]), (first.shape[1], 1))


class Joined(nn.Module):
    """Base of a module some of whose `Linear`s read the same input and share one block of memory.

    Every map stays a parameter of its own under its own name. As the weights lie behind one another, inference reads
    them with a single product. Whoever replaces, wraps, hooks or moves one of the maps gets the single products
    instead.
    """

    _joined: Tensor | None = None
    _names: tuple[str, ...] = ()
    _starts: tuple[int, ...] = ()
    _sizes: list[int]

    def join(self, *names: str) -> None:
        """Lay the weights of `names` behind one another, in that order; at most these weights are copied."""
        self._names = names or self._names
        self._joined = None
        maps = self._maps()
        if not all(type(m) is Linear and type(m.weight) is nn.Parameter and not m.prepacked for m in maps):
            return
        weights = [m.weight.data for m in maps]
        if weights[0].is_meta or len({(w.dtype, w.device) for w in weights}) > 1:
            return
        self._joined = adjacent(weights)
        if self._joined is None:
            self._joined = torch.cat(weights)
        self._sizes = [len(w) for w in weights]
        for m, part in zip(maps, self._joined.split_with_sizes(self._sizes), strict=True):
            m.weight.data = part
        self._note(maps)

    def prepack(self) -> None:
        """Prepack the common block, if there is one and this machine can use that."""
        maps, block = self._maps(), self._joined
        if block is None or block.is_mkldnn or not prepackable(block):
            return
        self._joined = None
        if self._intact(maps):
            parts = blocked(block, self._sizes)
            for m, part in zip(maps, parts, strict=True):
                m.take(part)
            self._joined = parts[0].block
            self._note(maps)

    def restore(self) -> None:
        """Give the joined maps their numbers back."""
        for m in self._maps():
            if type(m) is Linear:
                m.restore()
        self.join()

    def each(self, x: Tensor) -> tuple[Tensor, ...]:
        """Outputs of the joined maps, in order."""
        all_of_them = self._at_once(x)
        if all_of_them is None:
            return tuple(m(x) for m in self._maps())
        return all_of_them.split_with_sizes(self._sizes, dim=-1)

    def together(self, x: Tensor) -> Tensor:
        """Outputs of the joined maps behind one another on the last axis."""
        all_of_them = self._at_once(x)
        return torch.cat([m(x) for m in self._maps()], dim=-1) if all_of_them is None else all_of_them

    def _at_once(self, x: Tensor) -> Tensor | None:
        """The product with the common block; None where the maps have to be asked one by one, or better are."""
        block = self._joined
        if block is None or torch.compiler.is_compiling() or not self._intact(self._maps()):
            return None
        if block.is_mkldnn:
            return product(x, block)
        if torch.is_grad_enabled() or (x.device.type == "cpu" and x.numel() > FEW_ROWS * x.shape[-1]):
            return None  # many rows are bound by arithmetic, and better followed by whole tensors than by parts
        return functional.linear(x, block)

    def _maps(self) -> list[Any]:
        return [self._modules[name] for name in self._names]  # past the slow lookup of attributes

    def _note(self, maps: list[Any]) -> None:
        """Remember where the weights are now."""
        self._starts = tuple(m.weight.data_ptr() for m in maps)

    def _load_from_state_dict(self, *args: Any) -> None:
        self.restore()
        super()._load_from_state_dict(*args)

    def _intact(self, maps: list[Any]) -> bool:
        for m, start in zip(maps, self._starts, strict=True):
            if type(m) is not Linear or m._forward_hooks or m._forward_pre_hooks:
                return False
            weight: Any = m._parameters["weight"]
            if weight.data_ptr() != start:
                return False
        return True

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        self._joined = None  # gives the old block back as its parts are moved
        result = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.join()
        return result

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_joined"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.join()


class MLP(Joined):
    """SwiGLU: down(act(gate(x)) * up(x))."""

    def __init__(self, hidden_size: int, intermediate_size: int, activation: str) -> None:
        super().__init__()
        self.gate_proj = Linear(hidden_size, intermediate_size)
        self.up_proj = Linear(hidden_size, intermediate_size)
        self.down_proj = Linear(intermediate_size, hidden_size)
        self.activation = activation
        self.join("gate_proj", "up_proj")

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.each(x)
        gated = ACTIVATIONS[self.activation](gate)
        gated = gated * up if torch.is_grad_enabled() else gated.mul_(up)
        return self.down_proj(gated)  # type: ignore[no-any-return]
