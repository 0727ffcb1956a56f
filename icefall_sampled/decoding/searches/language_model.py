"""The language model interface of shallow fusion: it steps like a prediction network.

`modified_beam` and `time_sync_beam` accept any model with this interface. This package contains no
such model, and no program has an option for one.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class LanguageModel(Protocol):
    """Scores the next label given all labels before it; any LM over the same token table.

    A state is a tensor whose first dimension is that of the labels, so that hypotheses are
    picked and reordered by indexing. `modeling.predictor` has two networks that step like this.
    """

    def initial_state(self, num: int, device: torch.device) -> Tensor:
        """(num, …) the state before the first step."""
        ...

    def step(self, labels: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(m,) labels, blank (0) for the start of the sentence, and (m, …) their states.

        Returns:
            (m, V) log-probabilities in nats of the next label (column 0, blank, is
            ignored) and the (m, …) states after `labels`.
        """
        ...
