"""CTC-constrained decoding (paper, Section 3.3): emit only what CTC finds likely.

The mean CTC posterior of an utterance names K classes, blank among them. The output layer is
cut down to these rows before decoding starts, so the constraint also makes decoding cheaper.
"""

from __future__ import annotations

import torch
from torch import Tensor

from icefall_sampled.modeling.joiner import Joiner


class OutputLayer:
    """The joiner's output layer over all classes, or over each utterance's allowed ones."""

    def __init__(self, joiner: Joiner, allowed: Tensor | None = None) -> None:
        """Cut the output layer down.

        Args:
            joiner: whose layer it is.
            allowed: (N, K) class ids of each utterance, blank (0) in column 0; None for all V.

        Raises:
            ValueError: where blank is not in column 0.
        """
        if allowed is not None and (
            allowed.dim() != 2 or allowed.shape[1] == 0 or bool((allowed[:, 0] != 0).any())
        ):
            raise ValueError("allowed must be (N, K) with blank (0) in column 0 of every row")
        self._joiner, self._allowed = joiner, allowed
        weight, bias = joiner.output.weight, joiner.output.bias
        self._weight = weight if allowed is None else weight[allowed]
        self._bias = bias if allowed is None else bias[allowed]

    def log_probs(self, encoder: Tensor, predictor: Tensor, rows: Tensor) -> Tensor:
        """Log-probabilities at one lattice node of each of n utterances.

        Args:
            encoder: (n, J) projected frames.
            predictor: (n, J) projected predictor outputs.
            rows: (n,) which utterance of `allowed` each node belongs to.

        Returns:
            (n, V), or (n, K) by the columns of `allowed`; column 0 is blank either way.
        """
        hidden = self._joiner.hidden(encoder, predictor)
        if self._allowed is None:
            return torch.log_softmax(hidden @ self._weight.t() + self._bias, dim=-1)
        logits = torch.bmm(self._weight[rows], hidden[:, :, None])[..., 0] + self._bias[rows]
        return torch.log_softmax(logits, dim=-1)

    def labels(self, columns: Tensor, rows: Tensor) -> Tensor:
        """(n,) columns of `log_probs` -> (n,) class ids."""
        return columns if self._allowed is None else self._allowed[rows, columns]
