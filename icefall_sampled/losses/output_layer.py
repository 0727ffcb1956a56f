"""A linear layer and its softmax over V classes, a block of rows and columns at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from icefall_sampled.lengths import padding_mask
from icefall_sampled.losses import chunks


@dataclass(frozen=True)
class LinearLayer:
    """logits = weight @ row + bias."""

    weight: Tensor
    """(V, D), in `matmul_dtype`."""

    bias: Tensor
    """(V,), in `dtype`."""

    dtype: torch.dtype
    """Type of sums and softmaxes: float32 or float64."""

    matmul_dtype: torch.dtype
    """Type of matrix products: `dtype`, or the type that autocast sets."""

    @staticmethod
    def of(weight: Tensor, bias: Tensor, dtypes: tuple[torch.dtype, torch.dtype]) -> LinearLayer:
        """From parameters of any type and the result of `dtypes_for`."""
        dtype, matmul_dtype = dtypes
        return LinearLayer(weight.to(matmul_dtype), bias.to(dtype), dtype, matmul_dtype)

    def blocks(self) -> Iterator[slice]:
        """The columns, `MAX_COLUMNS` at a time."""
        for start in range(0, len(self.bias), chunks.MAX_COLUMNS):
            yield slice(start, start + chunks.MAX_COLUMNS)

    def split(self, rows: Tensor) -> Iterator[Tensor]:
        """A list of row numbers, cut to the budget."""
        columns = min(len(self.bias), chunks.MAX_COLUMNS)
        size = chunks.chunk_rows(self.dtype, columns=columns, width=self.weight.shape[1])
        return iter(rows.split(size)) if len(rows) else iter(())

    def logits(self, rows: Tensor, block: slice) -> Tensor:
        """(R, C) in `dtype`, from rows in `matmul_dtype`."""
        if self.matmul_dtype == self.dtype:
            return torch.addmm(self.bias[block], rows, self.weight[block].t())
        return (rows @ self.weight[block].t()).to(self.dtype).add_(self.bias[block])


def dtypes_for(rows: Tensor, weight: Tensor) -> tuple[torch.dtype, torch.dtype]:
    """The type of sums, and of matrix products: the one that `linear` uses under autocast."""
    dtype = torch.float64 if rows.dtype == torch.float64 else torch.float32
    row = rows.detach().reshape(-1, rows.shape[-1])[:1]
    product = torch.nn.functional.linear(row, weight.detach()[:1].to(row.dtype))
    return dtype, product.dtype


def valid_rows(num_frames: int, lengths: Tensor) -> Tensor:
    """Row numbers, in a flattened (N, T), of the frames that are not padding."""
    return (~padding_mask(lengths, num_frames)).view(-1).nonzero()[:, 0]


def add_block(peak: Tensor, total: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One step of a sum of exponentials, kept as total * exp(peak).

    Overwrites logits with exp(logits - new peak). Returns the new peak and total, and the factor
    that rescales sums relative to the old peak.
    """
    new_peak = torch.maximum(peak, logits.amax(1))
    shrink = (peak - new_peak).exp()
    total = total * shrink + logits.sub_(new_peak[:, None]).exp_().sum(1)
    return new_peak, total, shrink
