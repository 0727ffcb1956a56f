"""Are two states of a run the same, bit by bit?"""

from __future__ import annotations

from typing import Any

import torch

MEASURED = "processor_seconds"
"""Processor time is not part of the results, and differs in every run."""


def differences(first: Any, second: Any, where: str = "") -> list[str]:
    """The places where two nested states differ in type, in keys or in any bit of a tensor."""
    if type(first) is not type(second):
        return [f"{where}: {type(first)} and {type(second)}"]
    if isinstance(first, torch.Tensor):
        return [] if torch.equal(first, second) else [where]
    if isinstance(first, dict):
        if first.keys() != second.keys():
            return [f"{where}: {sorted(map(str, first.keys() ^ second.keys()))}"]
        pairs = [(first[k], second[k], f"{where}/{k}") for k in first if k != MEASURED]
    elif isinstance(first, list | tuple):
        if len(first) != len(second):
            return [f"{where}: {len(first)} and {len(second)} entries"]
        pairs = [(a, b, f"{where}/{i}") for i, (a, b) in enumerate(zip(first, second, strict=True))]
    else:
        return [] if first == second else [f"{where}: {first} and {second}"]
    return [place for a, b, name in pairs for place in differences(a, b, name)]
