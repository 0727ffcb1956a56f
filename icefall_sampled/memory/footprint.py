"""What one part of a step allocates, counted while it runs on a small batch, and extrapolated."""

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
    """What is there between forward and backward, its result included."""
    backward: float
    """Its peak in backward beyond what was kept, gradients included."""

    def plus(self, other: Footprint, times: float = 1.0) -> Footprint:
        """This and a multiple of another."""
        return Footprint(*(a + times * b for a, b in zip(self, other, strict=True)))


NOTHING = Footprint(0.0, 0.0, 0.0)


class Line(NamedTuple):
    """fixed + N * each, for N utterances of one size."""

    fixed: Footprint
    each: Footprint

    def at(self, num: float) -> Footprint:
        """For a batch."""
        return self.fixed.plus(self.each, num)

    def without_kept(self, other: Line) -> Line:
        """This, where the other's results are there already."""
        return Line(
            *(
                Footprint(mine.forward - its.kept, mine.kept - its.kept, mine.backward)
                for mine, its in zip(self, other, strict=True)
            )
        )

    def towards(self, other: Line, share: float) -> Line:
        """On the way to another, extrapolated where the share is above 1."""
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
    """Under which name the table counts it."""
    line: Line
    parameters: float = 0.0
    """Bytes of its parameters, and so of the gradients that its backward leaves."""
    largest: float = 0.0
    """Bytes of its largest parameter."""
    chunk: float = 0.0
    """Bytes for each utterance that a chunk of everything would take; the budget is the limit."""
    line_chunk: float = 0.0
    """Bytes of the chunks that the line has in it."""

    def at(self, num: int) -> Footprint:
        """What it allocates for a batch."""
        chunk = min(chunk_mib() * MIB, num * self.chunk) - self.line_chunk
        return self.line.at(num).plus(Footprint(chunk, 0.0, chunk))

    def towards(self, other: Stage, share: float) -> Stage:
        """On the line from this stage to the same at another size; a share of 1 is the other."""
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
    """The line through what two batches allocate."""
    first, second = at(low), at(high)
    each = NOTHING.plus(second, 1 / (high - low)).plus(first, -1 / (high - low))
    return Line(first.plus(each, -low), each)


def parameter_bytes(module: nn.Module) -> float:
    """Of all parameters of a module."""
    return float(sum(p.numel() * p.element_size() for p in module.parameters()))


@contextmanager
def chunks_of(mib: float) -> Iterator[None]:
    """Within it, the chunks of the fused losses have this budget."""
    usual = chunk_mib()
    set_chunk_mib(mib)
    try:
        yield
    finally:
        set_chunk_mib(usual)
