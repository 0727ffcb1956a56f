"""The base of the batched beam searches: the hypotheses of all utterances are (N, B) tensors.

So a frame takes a fixed number of tensor operations for any batch and beam size. Hypotheses with
the same labels are merged and their probabilities added before the best are chosen.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from icefall_sampled.decoding.searches.beams import Beams, Candidates
from icefall_sampled.decoding.searches.constraint import OutputLayer
from icefall_sampled.decoding.searches.greedy import check_allowed
from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.decoding.searches.language_model import LanguageModel
from icefall_sampled.decoding.searches.ranking import length_normalised, top_in_order
from icefall_sampled.decoding.searches.trace import Step, Trace
from icefall_sampled.modeling import Transducer
from icefall_sampled.tokens import BLANK

_MULTIPLIER = 6364136223846793005  # odd; from Knuth's MMIX generator; products wrap around


class BatchedBeamSearch(ABC):
    """A beam search of N utterances whose frames may come in pieces."""

    @torch.no_grad()
    def __init__(
        self,
        model: Transducer,
        num: int,
        *,
        beam: int = 10,
        max_gap: float = math.inf,
        length_norm: bool = True,
        lm: LanguageModel | None = None,
        lm_weight: float = 0.0,
    ) -> None:
        """Start N utterances.

        Args:
            model: in eval mode.
            num: N.
            beam: B, hypotheses per utterance, at least 1.
            max_gap: nats; hypotheses further than this behind the best one are dropped.
            length_norm: whether the final order is by nats per label.
            lm: for shallow fusion.
            lm_weight: factor of its log-probabilities.

        Raises:
            ValueError: where `beam` or `max_gap` is out of its range.
        """
        if beam < 1:
            raise ValueError(f"beam is {beam}, it must be at least 1")
        if not max_gap > 0:
            raise ValueError(f"max_gap is {max_gap}, it must be positive")
        self._model, self._max_gap, self._length_norm = model, max_gap, length_norm
        self._lm, self._lm_weight, self._beam = lm, lm_weight, beam
        self._beams = self._start(num)
        self._trace = Trace(num)

    def _start(self, num: int) -> Beams:
        device, shape = self._model.joiner.output.weight.device, (num, self._beam)
        zeros = torch.zeros(shape, dtype=torch.int64, device=device)
        log_prob = torch.full(shape, -math.inf, dtype=torch.float64, device=device)
        log_prob[:, :1] = 0.0
        start = zeros.flatten()  # blank stands for the start of the sentence
        out, state = self._model.predictor.step(
            start, self._model.predictor.initial_state(len(start), device)
        )
        predicted = self._model.joiner.predictor_projection(out)
        lm_log_probs, lm_state = predicted[:, :0], predicted[:, :0]
        if self._lm is not None:
            lm_log_probs, lm_state = self._lm.step(
                start, self._lm.initial_state(len(start), device)
            )
        wide = {"predicted": predicted, "state": state,
                "lm_log_probs": lm_log_probs, "lm_state": lm_state}  # fmt: skip
        return Beams(
            log_prob=log_prob, bonus=torch.zeros_like(log_prob), num_labels=zeros,
            last=zeros.clone(), key=zeros.clone(), parent_key=zeros - 1,
            **{name: value.unflatten(0, shape) for name, value in wide.items()},
        )  # fmt: skip

    @torch.no_grad()
    def advance(
        self, encoder_out: Tensor, encoder_lengths: Tensor, *, allowed: Tensor | None = None
    ) -> None:
        """Decode further frames: (N, T, D) and (N,) lengths, which may be 0."""
        check_allowed(allowed, len(self._beams.key))
        frames = self._model.joiner.encoder_projection(encoder_out)
        # Longest first: the utterances that still have frames are then the first rows.
        order = torch.argsort(encoder_lengths, descending=True, stable=True)
        frames = frames[order]
        output = OutputLayer(self._model.joiner, None if allowed is None else allowed[order])
        lengths = encoder_lengths.tolist()
        steps = []
        for t in range(max(lengths, default=0)):
            rows = order[: sum(length > t for length in lengths)]
            steps.append(self._advance_frame(frames[: len(rows), t], rows, output))
        self._trace.extend(steps, order)

    def results(self, nbest: int | None = None) -> list[list[Hypothesis]]:
        """The hypotheses of each utterance so far, the best first; all, or `nbest` of them."""
        beams = self._beams
        columns = (beams.rank.tolist(), beams.log_prob.tolist(), beams.num_labels.tolist())
        found = []
        for row, (ranks, log_probs, labels) in enumerate(zip(*columns, strict=True)):
            slots = [k for k in range(self._beam) if ranks[k] > -math.inf] or [0]
            if self._length_norm:
                ranks = [length_normalised(*pair) for pair in zip(ranks, labels, strict=True)]
            slots.sort(key=lambda k, ranks=ranks: -ranks[k])  # type: ignore[misc]
            found.append([self._trace.hypothesis(row, k, log_probs[k]) for k in slots[:nbest]])
        return found

    @abstractmethod
    def _advance_frame(self, frames: Tensor, rows: Tensor, output: OutputLayer) -> Step:
        """Advance the utterances `rows` by one (n, J) frame; returns its step for the trace."""

    def _rows(self, rows: Tensor) -> Beams:
        """A copy of the hypotheses of the utterances `rows`."""
        return self._beams.select(rows[:, None], torch.arange(self._beam, device=rows.device))

    def _nodes(
        self, frames: Tensor, old: Beams, output: OutputLayer
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Row and slot of each of the m existing hypotheses, and (m, K) log-probabilities."""
        nodes = torch.nonzero(old.log_prob > -math.inf, as_tuple=True)
        return nodes, output.log_probs(frames[nodes[0]], old.predicted[nodes], nodes[0])

    def _grow(
        self, old: Beams, log_probs: Tensor, nodes: tuple[Tensor, ...], output: OutputLayer
    ) -> Candidates:
        """Extend each hypothesis by each of its best labels: (n, B * L) candidates."""
        rows, _ = nodes
        values = log_probs[:, 1:]
        if self._lm is not None:
            columns = torch.arange(1, log_probs.shape[1], device=rows.device)
            labels = output.labels(columns.expand(len(rows), -1), rows[:, None])
            values = values + self._lm_weight * old.lm_log_probs[nodes].gather(1, labels)
        top, columns = top_in_order(values, min(self._beam, values.shape[1]))
        spoken_log_prob = log_probs.gather(1, columns + 1).double()
        shape = (*old.log_prob.shape, top.shape[1])

        def spread(values: Tensor, missing: float) -> Tensor:
            """(m, L) of the nodes -> (n, B * L) of all slots."""
            full = torch.full(shape, missing, dtype=values.dtype, device=values.device)
            full[nodes] = values
            return full.flatten(1)

        labels = spread(output.labels(columns + 1, rows[:, None]), BLANK)
        slots = torch.arange(shape[1], device=rows.device)
        slots = slots[:, None].expand(shape).flatten(1)
        return Candidates(
            rank=spread(old.rank[nodes][:, None] + top, -math.inf),
            log_prob=spread(old.log_prob[nodes][:, None] + spoken_log_prob, -math.inf),
            source=slots, label=labels, back=slots, spoken=labels,
            spoken_log_prob=spread(spoken_log_prob, 0.0),
        )  # fmt: skip

    def _moved(self, old: Beams, best: Candidates) -> Beams:
        """The hypotheses that (n, B) candidates become."""
        rows = torch.arange(len(old.key), device=old.key.device)[:, None]
        new = old.select(rows, best.source)
        spoken = best.label != BLANK
        if self._lm is not None:
            added = new.lm_log_probs.gather(2, best.label[..., None])[..., 0]
            new.bonus = torch.where(spoken, new.bonus + self._lm_weight * added, new.bonus)
        new.log_prob = best.log_prob
        new.num_labels = new.num_labels + spoken
        new.last = torch.where(spoken, best.label, new.last)
        new.parent_key = torch.where(spoken, new.key, new.parent_key)
        new.key = torch.where(spoken, new.key * _MULTIPLIER + best.label, new.key)
        grown = torch.nonzero(spoken & (new.log_prob > -math.inf), as_tuple=True)
        out, new.state[grown] = self._model.predictor.step(best.label[grown], new.state[grown])
        new.predicted[grown] = self._model.joiner.predictor_projection(out)
        if self._lm is not None:
            new.lm_log_probs[grown], new.lm_state[grown] = self._lm.step(
                best.label[grown], new.lm_state[grown]
            )
        return new
