"""The counting allocator counts what is allocated."""

from __future__ import annotations

import torch

from icefall_sampled.memory import peak_allocated_mib
from icefall_sampled.memory.allocations import MIB, allocations


def test_peak_and_what_is_left() -> None:
    kept = []

    def step() -> None:
        first = torch.zeros(1000)
        kept.append(torch.zeros(500))
        del first
        torch.zeros(700)

    counted = allocations(step)
    assert counted == (6000, 2000)
    assert peak_allocated_mib(step, torch.device("cpu")) * MIB == 6000


def test_what_is_released_counts_against_it() -> None:
    held: list[torch.Tensor] = []
    assert allocations(lambda: held.append(torch.zeros(1000))) == (4000, 4000)
    assert allocations(held.clear) == (0, -4000)
