"""CTC-constrained decoding (paper, Section 3.3): emit only labels that CTC finds likely.

The mean CTC posterior of an utterance names K classes, blank among them. The output layer is
reduced to these rows before decoding starts, so the constraint also makes decoding cheaper.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from icefall_sampled.modeling.joiner import Joiner

# oneDNN multiplies many rows with a large matrix up to three times as fast as the MKL beside torch
# 1.13 on some processors, and never much slower. It needs its own copy of the matrix, and does not
# pay off for few rows.
_MANY_NODES = 24
_LARGE_LAYER = 2**20


def in_order(classes: Tensor) -> Tensor:
    """Sort (N, K) classes by ascending id, so that ties are decided as without a constraint."""
    return classes.sort(dim=1).values


class OutputLayer:
    """The joiner's output layer over all classes, or over each utterance's allowed ones."""

    def __init__(self, joiner: Joiner, allowed: Tensor | None = None) -> None:
        """Reduce the output layer to the allowed classes.

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
        self._packed: tuple[Tensor, Tensor] | None = None

    def log_probs(self, encoder: Tensor, predictor: Tensor, rows: Tensor) -> Tensor:
        """Log-probabilities at m lattice nodes.

        Args:
            encoder: (m, J) projected frames.
            predictor: (m, J) projected predictor outputs.
            rows: (m,) the utterance of each node; adjacent nodes of one utterance are computed
                together.

        Returns:
            (m, V), or (m, K) by the columns of `allowed`; column 0 is blank either way.
        """
        hidden = self._joiner.hidden(encoder, predictor)
        if self._allowed is None:
            return torch.log_softmax(self._logits(hidden), dim=-1)
        if len(rows) == 0:
            return hidden.new_zeros(0, self._allowed.shape[1])
        # One product for each utterance, with its nodes side by side.
        used, position, counts = torch.unique_consecutive(
            rows, return_inverse=True, return_counts=True
        )
        place = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[position]
        nodes = hidden.new_zeros(len(used), int(counts.max()), hidden.shape[1])
        nodes[position, place] = hidden
        weight, bias = self._rows(used)
        logits = torch.baddbmm(bias[:, None], nodes, weight.transpose(1, 2))
        return torch.log_softmax(logits[position, place], dim=-1)

    def _logits(self, hidden: Tensor) -> Tensor:
        """(m, J) -> (m, V)."""
        suits = hidden.device.type == "cpu" and hidden.dtype == torch.float32
        large = len(hidden) >= _MANY_NODES and self._weight.numel() >= _LARGE_LAYER
        if not (suits and large and torch.backends.mkldnn.is_available()):
            return linear(hidden, self._weight, self._bias)
        if self._packed is None:
            self._packed = self._weight.detach().to_mkldnn(), self._bias.detach().to_mkldnn()
        return linear(hidden.to_mkldnn(), *self._packed).to_dense()

    def _rows(self, used: Tensor) -> tuple[Tensor, Tensor]:
        """The layers of some utterances, without a copy if they are the first rows."""
        num = len(used)
        if torch.equal(used, torch.arange(num, device=used.device)):
            return self._weight[:num], self._bias[:num]
        return self._weight[used], self._bias[used]

    def labels(self, columns: Tensor, rows: Tensor) -> Tensor:
        """Columns of `log_probs` of the utterances `rows`, of the same shape -> class ids."""
        return columns if self._allowed is None else self._allowed[rows, columns]

    def columns(self, labels: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(m,) class ids -> (m,) columns of `log_probs`, and whether the class is allowed."""
        if self._allowed is None:
            return labels, torch.ones_like(labels, dtype=torch.bool)
        found = self._allowed[rows] == labels[:, None]
        return found.to(torch.int8).argmax(dim=1), found.any(dim=1)
