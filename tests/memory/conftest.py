from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from icefall_sampled.losses import chunk_mib, set_chunk_mib


@pytest.fixture(autouse=True)
def _normal_numbers_alone() -> Iterator[None]:
    """As in training: denormal posteriors slow a CPU down tenfold."""
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)


@pytest.fixture
def small_chunks() -> Iterator[None]:
    """A budget as small beside these models as the usual one is beside usual ones."""
    usual = chunk_mib()
    set_chunk_mib(0.25)
    yield
    set_chunk_mib(usual)
