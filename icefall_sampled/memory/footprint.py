"""Memory of one part of a step, counted while it runs on small batches, and extrapolated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from icefall_sampled.losses import chunk_mib, set_chunk_mib
from icefall_sampled.memory.allocations import MIB, allocations


class Footprint(NamedTuple):
    """Bytes that a stage of the step allocates."""

    forward: float
    """Its peak in forward."""
    kept: float
    """Memory kept between forward and backward, the result included."""
    backward: float
    """Its peak in backward beyond `kept`, gradients included."""

    def plus(self, other: Footprint, times: float = 1.0) -> Footprint:
        """The sum of this and a multiple of another."""
        return Footprint(*(a + times * b for a, b in zip(self, other, strict=True)))


NOTHING = Footprint(0.0, 0.0, 0.0)


class Line(NamedTuple):
    """fixed + N * each, for N utterances of one size."""

    fixed: Footprint
    each: Footprint

    def at(self, num: float) -> Footprint:
        """The footprint of a batch."""
        return self.fixed.plus(self.each, num)

    def without_kept(self, other: Line) -> Line:
        """This line without the results of the other, which are counted there."""
        return Line(
            *(
                Footprint(mine.forward - its.kept, mine.kept - its.kept, mine.backward)
                for mine, its in zip(self, other, strict=True)
            )
        )

    def towards(self, other: Line, share: float) -> Line:
        """Interpolate to another line; a share above 1 extrapolates."""
        return Line(
            *(
                mine.plus(its, share).plus(mine, -share)
                for mine, its in zip(self, other, strict=True)
            )
        )


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of the step, for any number of utterances of one size."""

    component: str
    """The row of the table that counts it."""
    line: Line
    parameters: float = 0.0
    """Bytes of its parameters, and so of their gradients after backward."""
    largest: float = 0.0
    """Bytes of its largest parameter."""
    chunk: float = 0.0
    """Bytes for each utterance if one chunk held all of it; the chunk budget is the limit."""
    line_chunk: float = 0.0
    """Bytes of the chunks that are included in the line."""

    def at(self, num: int) -> Footprint:
        """Its footprint for a batch."""
        chunk = min(chunk_mib() * MIB, num * self.chunk) - self.line_chunk
        return self.line.at(num).plus(Footprint(chunk, 0.0, chunk))

    def towards(self, other: Stage, share: float) -> Stage:
        """Interpolate to the same stage at another size; a share above 1 extrapolates."""
        return Stage(
            component=self.component,
            line=self.line.towards(other.line, share),
            **{
                name: getattr(self, name) + share * (getattr(other, name) - getattr(self, name))
                for name in ("parameters", "largest", "chunk", "line_chunk")
            },
        )


def run_once(module: nn.Module, forward: Callable[[], Sequence[Tensor]]) -> Footprint:
    """Run a stage forward and backward. `module` holds the parameters that it uses."""
    results: list[Tensor] = []

    def backward() -> None:
        ends = [x for x in results if x.requires_grad]
        if ends:
            torch.autograd.backward(ends, [torch.ones_like(x) for x in ends])

    ahead = allocations(lambda: results.extend(forward()))
    back = allocations(backward)
    module.zero_grad(set_to_none=True)
    return Footprint(ahead.peak, ahead.left, back.peak)


def by_utterances(at: Callable[[int], Footprint], low: int, high: int) -> Line:
    """The line through the footprints of two batch sizes."""
    first, second = at(low), at(high)
    each = NOTHING.plus(second, 1 / (high - low)).plus(first, -1 / (high - low))
    return Line(first.plus(each, -low), each)


def parameter_bytes(module: nn.Module) -> float:
    """Bytes of all parameters of a module."""
    return float(sum(p.numel() * p.element_size() for p in module.parameters()))


@contextmanager
def chunks_of(mib: float) -> Iterator[None]:
    """Set the chunk budget of the fused losses inside the context."""
    usual = chunk_mib()
    set_chunk_mib(mib)
    try:
        yield
    finally:
        set_chunk_mib(usual)
