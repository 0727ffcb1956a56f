"""Greedy decoding, batched over utterances; whole ones, or as they come in."""

from __future__ import annotations

import copy
from dataclasses import replace

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
    search = GreedySearch(model, len(encoder_out), max_symbols=max_symbols)
    search.advance(encoder_out, encoder_lengths, allowed=allowed)
    return [best[0] for best in search.results()]


class GreedySearch:
    """Greedy decoding of N utterances that can be given piece by piece."""

    @torch.no_grad()
    def __init__(self, model: Transducer, num: int, *, max_symbols: int = 10) -> None:
        """Begin N utterances; the arguments are those of `greedy`."""
        if max_symbols < 1:
            raise ValueError(f"max_symbols is {max_symbols}, it must be at least 1")
        self._model, self._max_symbols = model, max_symbols
        device = model.joiner.output.weight.device
        start = torch.full((num,), BLANK, dtype=torch.int64, device=device)
        out, self._state = model.predictor.step(start, model.predictor.initial_state(num, device))
        self._predicted = model.joiner.predictor_projection(out)
        self._log_probs = torch.zeros(num, dtype=torch.float64, device=device)
        self._done = torch.zeros(num, dtype=torch.int64)
        self._hypotheses = [Hypothesis() for _ in range(num)]

    @torch.no_grad()
    def advance(
        self, encoder_out: Tensor, encoder_lengths: Tensor, *, allowed: Tensor | None = None
    ) -> None:
        """Decode further frames: (N, T, D) and (N,), of which any may be 0."""
        check_allowed(allowed, len(self._hypotheses))
        frames = self._model.joiner.encoder_projection(encoder_out)
        output = OutputLayer(self._model.joiner, allowed)
        lengths = encoder_lengths.tolist()
        for t in range(max(lengths, default=0)):
            rows = torch.nonzero(encoder_lengths > t)[:, 0]
            self._decode_frame(frames[:, t], rows, output, t)
        self._done += encoder_lengths.cpu()

    def results(self) -> list[list[Hypothesis]]:
        """The hypothesis of each utterance so far, as an n-best list of one."""
        totals = zip(self._hypotheses, self._log_probs.tolist(), strict=True)
        return [[replace(copy.deepcopy(found), log_prob=total)] for found, total in totals]

    def _decode_frame(self, frames: Tensor, rows: Tensor, output: OutputLayer, t: int) -> None:
        """Labels of (N, J) frames until blank, for the utterances `rows`."""
        for _ in range(self._max_symbols):
            log_probs = output.log_probs(frames[rows], self._predicted[rows], rows)
            scores, columns = log_probs.max(dim=-1)
            self._log_probs[rows] += scores.double()
            spoken = columns != BLANK  # blank is column 0 of every row
            rows, columns, scores = rows[spoken], columns[spoken], scores[spoken]
            if len(rows) == 0:
                break
            labels = output.labels(columns, rows)
            self._append(rows, labels, scores, t)
            out, self._state[rows] = self._model.predictor.step(labels, self._state[rows])
            self._predicted[rows] = self._model.joiner.predictor_projection(out)

    def _append(self, rows: Tensor, labels: Tensor, scores: Tensor, t: int) -> None:
        chosen = zip(rows.tolist(), labels.tolist(), scores.tolist(), strict=True)
        for row, label, score in chosen:
            hypothesis = self._hypotheses[row]
            hypothesis.tokens.append(label)
            hypothesis.frames.append(int(self._done[row]) + t)
            hypothesis.token_log_probs.append(score)


def check_allowed(allowed: Tensor | None, num: int) -> None:
    """Raise ValueError where `allowed` has not a row for each of `num` utterances."""
    if allowed is not None and len(allowed) != num:
        raise ValueError(f"allowed has {len(allowed)} rows, it must have one for each of {num}")
