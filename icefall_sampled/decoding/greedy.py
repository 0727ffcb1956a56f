"""Greedy decoding, batched over utterances."""

from __future__ import annotations

import torch
from torch import Tensor

from icefall_sampled.decoding.constraint import OutputLayer
from icefall_sampled.decoding.hypothesis import Hypothesis
from icefall_sampled.modeling import Transducer
from icefall_sampled.tokens import BLANK


@torch.no_grad()
def greedy(
    model: Transducer,
    encoder_out: Tensor,
    encoder_lengths: Tensor,
    *,
    allowed: Tensor | None = None,
    max_symbols: int = 10,
) -> list[Hypothesis]:
    """Take the most probable class at every node (Graves 2012, beam of one path).

    Args:
        model: in eval mode.
        encoder_out: (N, T, D) unprojected encoder output.
        encoder_lengths: (N,).
        allowed: (N, K) classes that may be emitted, blank in column 0; None for all.
        max_symbols: labels at one frame at the most, at least 1; then the next frame is taken.

    Returns:
        N hypotheses. Of equal probabilities the class in the lower column wins.

    Raises:
        ValueError: where max_symbols is below 1, or `allowed` does not fit.
    """
    if max_symbols < 1:
        raise ValueError(f"max_symbols is {max_symbols}, it must be at least 1")
    frames = model.joiner.encoder_projection(encoder_out)
    output = OutputLayer(model.joiner, allowed)
    num, device = encoder_out.shape[0], encoder_out.device
    if allowed is not None and len(allowed) != num:
        raise ValueError(f"allowed has {len(allowed)} rows, it must have one for each of {num}")
    hypotheses = [Hypothesis() for _ in range(num)]
    blank = torch.full((num,), BLANK, dtype=torch.int64, device=device)
    out, state = model.predictor.step(blank, model.predictor.initial_state(num, device))
    predictor = model.joiner.predictor_projection(out)
    for t in range(int(encoder_lengths.max()) if num else 0):
        rows = torch.nonzero(encoder_lengths > t)[:, 0]
        for _ in range(max_symbols):
            scores, columns = output.log_probs(frames[rows, t], predictor[rows], rows).max(dim=-1)
            labels = output.labels(columns, rows)
            _append(hypotheses, rows, labels, scores, t)
            rows, labels = rows[labels != BLANK], labels[labels != BLANK]
            if len(rows) == 0:
                break
            out, state[rows] = model.predictor.step(labels, state[rows])
            predictor[rows] = model.joiner.predictor_projection(out)
    return hypotheses


def _append(
    hypotheses: list[Hypothesis], rows: Tensor, labels: Tensor, scores: Tensor, frame: int
) -> None:
    """Add what was chosen at one node of each row to its hypothesis."""
    chosen = zip(rows.tolist(), labels.tolist(), scores.tolist(), strict=True)
    for row, label, score in chosen:
        hypotheses[row].log_prob += score
        if label != BLANK:
            hypotheses[row].tokens.append(label)
            hypotheses[row].frames.append(frame)
            hypotheses[row].token_log_probs.append(score)
