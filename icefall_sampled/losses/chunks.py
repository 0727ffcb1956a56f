"""Chunk sizes: one memory budget in MiB, and lists of lattice nodes cut to fit it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_COLUMNS = 2048
"""Classes in one block of logits: enough for an efficient matrix product. A larger vocabulary
is split into several blocks, so that each block can keep many rows."""

MIN_ROWS = 32
"""The fewest rows in one block, however small the budget."""

_chunk_mib = 8.0


def set_chunk_mib(mib: float) -> None:
    """Set how much memory the fused losses may use for temporary tensors.

    A process-wide setting. The default, 8, is about the size of a CPU's caches; a GPU is
    faster with a few hundred.
    """
    global _chunk_mib
    if not mib > 0:
        raise ValueError(f"mib must be positive, was {mib}")
    _chunk_mib = float(mib)


def chunk_mib() -> float:
    """The budget set by `set_chunk_mib`."""
    return _chunk_mib


def chunk_elements(dtype: torch.dtype) -> int:
    """The budget as a number of elements of a type."""
    return int(_chunk_mib * 2**20) // (torch.finfo(dtype).bits // 8)


def chunk_rows(dtype: torch.dtype, *, columns: int, width: int, reserved: int = 0) -> int:
    """How many rows fit the budget: each needs its logits and three vectors of `width`."""
    return max(MIN_ROWS, (chunk_elements(dtype) - reserved) // (columns + 3 * width))


@dataclass(frozen=True)
class Chunk:
    """G utterances with M nodes each; G is 1 where all utterances share the weights."""

    index: Tensor
    """(G, M) nodes as positions in a flattened (N, T, U + 1)."""

    utterances: Tensor | None
    """(G,) rows of the minibatch whose weights to use; None where all share them."""

    is_filling: Tensor | None
    """(G, M) true in padding, where a shorter utterance repeats its last node; None without any."""


def cut(nodes: Tensor, dtype: torch.dtype, *, columns: int, width: int) -> Iterator[Chunk]:
    """Chunks of nodes that share their weights."""
    size = chunk_rows(dtype, columns=columns, width=width)
    for piece in nodes.split(size) if len(nodes) else ():
        yield Chunk(piece[None], None, None)


def cut_by_utterance(
    nodes: Tensor, counts: list[int], dtype: torch.dtype, *, columns: int, width: int
) -> Iterator[Chunk]:
    """Chunks of nodes where each utterance has its own weights.

    `nodes` is sorted by utterance; `counts` has the number of nodes of each utterance. A long
    utterance is cut. Short ones share a chunk if each has at least 4/5 as many nodes as the
    longest, because padding costs time.
    """
    starts = [0]
    for count in counts:
        starts.append(starts[-1] + count)
    elements = chunk_elements(dtype)
    capacity = chunk_rows(dtype, columns=columns, width=width, reserved=columns * width)
    order = sorted((n for n in range(len(counts)) if counts[n]), key=lambda n: -counts[n])
    while order:
        longest = counts[order[0]]
        if longest > capacity:
            n = order.pop(0)
            rows = torch.full((1,), n, device=nodes.device)
            for piece in nodes[starts[n] : starts[n + 1]].split(capacity):
                yield Chunk(piece[None], rows, None)
            continue
        size = max(1, elements // (longest * (columns + 3 * width) + columns * width))
        similar = [n for n in order[:size] if counts[n] * 5 >= longest * 4]
        order = order[len(similar) :]
        yield _group(nodes, [starts[n] for n in similar], [counts[n] for n in similar], similar)


def _group(nodes: Tensor, starts: list[int], counts: list[int], utterances: list[int]) -> Chunk:
    """One chunk of several utterances, padded to the longest, which is the first."""
    table = torch.tensor([starts, counts, utterances], device=nodes.device)
    if len(utterances) == 1:
        return Chunk(nodes[starts[0] : starts[0] + counts[0]][None], table[2], None)
    place = torch.arange(counts[0], device=nodes.device)
    last = table[1, :, None] - 1
    return Chunk(nodes[table[0, :, None] + torch.minimum(place, last)], table[2], place > last)
