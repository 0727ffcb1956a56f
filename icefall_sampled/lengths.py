"""Which positions of a padded batch are padding."""

from __future__ import annotations

import torch
from torch import Tensor


def padding_mask(lengths: Tensor, size: int) -> Tensor:
    """(N,) -> (N, size), true where there is only padding."""
    return torch.arange(size, device=lengths.device) >= lengths[:, None]
