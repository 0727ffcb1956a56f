"""The joiner's output layer, computed for one chunk of lattice nodes at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from icefall_sampled.losses import chunks
from icefall_sampled.losses.chunks import Chunk


@dataclass(frozen=True)
class Joiner:
    """encoder_out, predictor_out and the output layer, indexed by node.

    A node (n, t, u) is its position in a flattened (N, T, U + 1).
    """

    encoder_out: Tensor
    """(N, T, J)"""

    predictor_out: Tensor
    """(N, U + 1, J)"""

    weight: Tensor
    """(V, J), in `matmul_dtype`."""

    bias: Tensor
    """(V,), in `dtype`."""

    ids: Tensor | None
    """(N, K) classes of each utterance's softmax, or (1, K) shared by all; None means all V."""

    labels: Tensor
    """(N, U + 1) the next label at each u as a column of the softmax; the last is unused."""

    activation: str

    dtype: torch.dtype
    """Type of sums and softmaxes: float32 or float64."""

    matmul_dtype: torch.dtype
    """Type of matrix products: `dtype`, or the type that autocast sets."""

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.bias) if self.ids is None else self.ids.shape[1]

    @property
    def width(self) -> int:
        """J."""
        return self.encoder_out.shape[2]

    def chunks(self, nodes: Tensor) -> Iterator[Chunk]:
        """Cut a sorted list of nodes to the budget."""
        columns = min(self.num_classes, chunks.MAX_COLUMNS)
        if self.ids is None or len(self.ids) == 1:
            return chunks.cut(nodes, self.dtype, columns=columns, width=self.width)
        num_rows, num_frames, _ = self.encoder_out.shape
        rows = nodes.div(num_frames * self.predictor_out.shape[1], rounding_mode="floor")
        counts = rows.bincount(minlength=num_rows).tolist()
        return chunks.cut_by_utterance(nodes, counts, self.dtype, columns=columns, width=self.width)

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Utterance of each node, and its rows in the flattened encoder_out and predictor_out."""
        _, num_frames, _ = self.encoder_out.shape
        num_nodes = self.predictor_out.shape[1]
        frame = index.div(num_nodes, rounding_mode="floor")
        utterance = frame.div(num_frames, rounding_mode="floor")
        return utterance, frame, utterance * num_nodes + index.remainder(num_nodes)

    def hidden(self, frame: Tensor, prefix: Tensor) -> Tensor:
        """act(encoder + predictor), (G, M, J), in `dtype`."""
        encoder = self.encoder_out.flatten(0, 1).index_select(0, frame.flatten())
        hidden = encoder.to(self.dtype, copy=False)
        hidden += self.predictor_out.flatten(0, 1).index_select(0, prefix.flatten())
        hidden = hidden.tanh_() if self.activation == "tanh" else hidden.relu_()
        return hidden.view(*frame.shape, self.width)

    def layers(self, chunk: Chunk) -> Iterator[tuple[int, Tensor | slice, Tensor, Tensor]]:
        """The output layer in blocks of columns: first column, classes, weight, bias.

        weight is (C, J) where all utterances share it, else (G, C, J).
        """
        for start in range(0, self.num_classes, chunks.MAX_COLUMNS):
            classes: Tensor | slice = slice(start, start + chunks.MAX_COLUMNS)
            if self.ids is not None:
                ids = self.ids[0] if chunk.utterances is None else self.ids[chunk.utterances]
                classes = ids[..., start : start + chunks.MAX_COLUMNS]
            yield start, classes, self.weight[classes], self.bias[classes]

    @staticmethod
    def place(column: Tensor, start: int, size: int) -> tuple[Tensor, Tensor]:
        """Whether each node's label lies in a block of columns, and where, (G, M, 1)."""
        inside = column.ge(start) & column.lt(start + size)
        return inside, column.sub(start).clamp_(0, size - 1)[..., None]

    def logits(self, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(G, M, C) in `dtype`, from hidden in `matmul_dtype`."""
        if self.matmul_dtype != self.dtype:
            product = hidden @ weight.transpose(-1, -2)
            return product.to(self.dtype) + bias[..., None, :]
        if len(hidden) > 1:
            return torch.baddbmm(bias[:, None], hidden, weight.transpose(1, 2))
        flat = weight.view(-1, weight.shape[-1])
        return torch.addmm(bias.view(-1), hidden[0], flat.t())[None]
