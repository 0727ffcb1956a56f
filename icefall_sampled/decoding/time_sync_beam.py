"""Time-synchronous beam search (Saon et al. 2020): several labels a frame, batched.

Its hypotheses are Graves', those of an utterance and those of a batch side by side: at each frame
all of them say blank, which ends the frame for them, or a label, after which they go on at the same
frame. The probability of a sequence is the sum over all alignments that were not pruned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from icefall_sampled.decoding.batched_beam import BatchedBeamSearch
from icefall_sampled.decoding.beams import Beams
from icefall_sampled.decoding.constraint import OutputLayer
from icefall_sampled.decoding.hypothesis import Hypothesis
from icefall_sampled.decoding.language_model import LanguageModel
from icefall_sampled.decoding.ranking import top_in_order
from icefall_sampled.decoding.trace import Step
from icefall_sampled.modeling import Transducer
from icefall_sampled.tokens import BLANK


@torch.no_grad()
def time_sync_beam(
    model: Transducer,
    encoder_out: Tensor,
    encoder_lengths: Tensor,
    *,
    allowed: Tensor | None = None,
    beam: int = 10,
    max_symbols: int = 10,
    max_gap: float = math.inf,
    length_norm: bool = True,
    nbest: int | None = None,
    lm: LanguageModel | None = None,
    lm_weight: float = 0.0,
) -> list[list[Hypothesis]]:
    """Keep the `beam` most probable label sequences that have ended a frame, at every frame.

    Args:
        model: in eval mode.
        encoder_out: (N, T, D) unprojected encoder output.
        encoder_lengths: (N,).
        allowed: (N, K) classes that may be emitted, blank in column 0; None for all.
        beam: B, at least 1.
        max_symbols: labels at one frame at the most, at least 1; blank has to follow.
        max_gap: nats; what is further than this behind the best of its utterance is dropped.
        length_norm: whether the final order is by nats a label.
        nbest: hypotheses of each utterance at the most; None for all that there are.
        lm: for shallow fusion.
        lm_weight: what its log-probabilities are multiplied by before they are added.

    Returns:
        For each utterance its hypotheses, the best first, at most B and at least one. Of equal
        ones that comes first which has fewer labels of the last frame, then whose history was
        better, then whose label is in the lower column.

    Raises:
        ValueError: where an argument is out of its range, or `allowed` does not fit.
    """
    search = TimeSyncBeamSearch(
        model, len(encoder_out), beam=beam, max_symbols=max_symbols, max_gap=max_gap,
        length_norm=length_norm, lm=lm, lm_weight=lm_weight,
    )  # fmt: skip
    search.advance(encoder_out, encoder_lengths, allowed=allowed)
    return search.results(nbest)


class TimeSyncBeamSearch(BatchedBeamSearch):
    """Time-synchronous beam search of N utterances that can be given piece by piece."""

    def __init__(
        self, model: Transducer, num: int, *, max_symbols: int = 10, **options: Any
    ) -> None:
        """Begin N utterances; the arguments are those of `time_sync_beam`."""
        if max_symbols < 1:
            raise ValueError(f"max_symbols is {max_symbols}, it must be at least 1")
        super().__init__(model, num, **options)
        self._max_symbols = max_symbols

    def _advance_frame(self, frames: Tensor, rows: Tensor, output: OutputLayer) -> Step:
        """One (n, J) frame of the utterances `rows`: their next hypotheses, and from which."""
        active, way = self._rows(rows), _Ways.none(len(rows), self._beam, rows.device)
        rounds, ways = [active], [way]
        ended = _Ended.nothing(active)
        for count in range(self._max_symbols + 1):
            nodes, log_probs = self._nodes(frames, active, output)
            ended = ended.with_blanks(active, log_probs, nodes, count)
            if count == self._max_symbols or log_probs.shape[1] == 1:
                break
            grown = self._grow(active, log_probs, nodes, output)
            rank, chosen = top_in_order(grown.rank, self._beam)
            # A label makes no sequence more probable: what is behind all B that have ended cannot
            # come among them. (Nor can it be merged with one of them then; that is given up.)
            best_rank = torch.maximum(rank[:, :1], ended.rank[:, :1])
            hopeful = (rank > ended.rank[:, -1:]) & (rank >= best_rank - self._max_gap)
            if not bool(hopeful.any()):
                break
            best = grown.gather(chosen)
            best.log_prob = best.log_prob.masked_fill(~hopeful, -math.inf)
            active = self._moved(active, best)
            way = way.continued(best.source, best.label, best.spoken_log_prob)
            rounds.append(active)
            ways.append(way)
        near = ended.rank >= ended.rank[:, :1] - self._max_gap
        row = torch.arange(len(rows), device=rows.device)[:, None]
        new = Beams.side_by_side(rounds).select(row, ended.state_of)
        new.log_prob = ended.log_prob.masked_fill(~near, -math.inf)
        self._beams.put(rows, new)
        return _Ways.side_by_side(ways).step(row, ended.way)


@dataclass
class _Ended:
    """The best hypotheses that have said blank at this frame, in order; every tensor is (n, B)."""

    rank: Tensor
    log_prob: Tensor
    key: Tensor
    """Stands for the label sequence, as in `Beams`."""
    state_of: Tensor
    """Which of all hypotheses of all rounds, B of each, has its state."""
    way: Tensor
    """Which of them is its likeliest way through the frame."""

    @staticmethod
    def nothing(active: Beams) -> _Ended:
        """No hypothesis yet."""
        nobody = torch.full_like(active.log_prob, -math.inf)
        zeros = torch.zeros_like(active.key)
        return _Ended(nobody, nobody.clone(), zeros, zeros, zeros)

    def with_blanks(
        self, active: Beams, log_probs: Tensor, nodes: tuple[Tensor, ...], count: int
    ) -> _Ended:
        """These and what the active hypotheses of round `count` become by blank; the best B."""
        total = torch.full_like(self.log_prob, -math.inf)
        total[nodes] = active.log_prob[nodes] + log_probs[:, BLANK].double()
        number = torch.arange(total.shape[1], device=total.device) + count * total.shape[1]
        number = number.expand_as(total)
        merged = replace(self, log_prob=self.log_prob.clone(), way=self.way.clone())
        there = (self.log_prob > -math.inf)[:, :, None] & (total > -math.inf)[:, None, :]
        same = there & (self.key[:, :, None] == active.key[:, None, :])
        rows, old, new = torch.nonzero(same, as_tuple=True)
        if len(rows):
            before, arriving = self.log_prob[rows, old], total[rows, new]
            merged.log_prob[rows, old] = torch.logaddexp(before, arriving)
            merged.way[rows, old] = torch.where(
                arriving > before, number[rows, new], self.way[rows, old]
            )
            merged.rank = self.rank + torch.where(
                self.log_prob > -math.inf, merged.log_prob - self.log_prob, 0.0
            )
            total[rows, new] = -math.inf
        fresh = _Ended(total + active.bonus, total, active.key, number, number)
        both = {
            name: torch.cat([value, getattr(fresh, name)], dim=1)
            for name, value in vars(merged).items()
        }
        _, chosen = top_in_order(both["rank"], total.shape[1])
        return _Ended(**{name: value.gather(1, chosen) for name, value in both.items()})


@dataclass
class _Ways:
    """What n times B hypotheses have said at this frame so far."""

    source: Tensor
    """(n, B) the slot that each had before the frame."""
    label: Tensor
    """(n, B, L)."""
    log_prob: Tensor
    """(n, B, L)."""

    @staticmethod
    def none(num: int, beam: int, device: torch.device) -> _Ways:
        """The start of a frame."""
        slots = torch.arange(beam, device=device).expand(num, beam)
        nothing = torch.zeros(num, beam, 0, dtype=torch.int64, device=device)
        return _Ways(slots, nothing, nothing.double())

    def continued(self, source: Tensor, label: Tensor, log_prob: Tensor) -> _Ways:
        """Each of (n, B) ways is that of slot `source` with one more label."""
        row = torch.arange(len(source), device=source.device)[:, None]
        return _Ways(
            self.source[row, source],
            torch.cat([self.label[row, source], label[..., None]], dim=2),
            torch.cat([self.log_prob[row, source], log_prob[..., None]], dim=2),
        )

    @staticmethod
    def side_by_side(ways: list[_Ways]) -> _Ways:
        """(n, B) of each round -> (n, rounds * B); blanks where there are fewer labels."""
        most = ways[-1].label.shape[2]

        def wide(values: Tensor) -> Tensor:
            return pad(values, (0, most - values.shape[2]))

        return _Ways(
            torch.cat([way.source for way in ways], dim=1),
            torch.cat([wide(way.label) for way in ways], dim=1),
            torch.cat([wide(way.log_prob) for way in ways], dim=1),
        )

    def step(self, rows: Tensor, chosen: Tensor) -> Step:
        """The frame as the trace wants it, for the ways (n, B) `chosen`."""
        return Step(
            self.source[rows, chosen], self.label[rows, chosen], self.log_prob[rows, chosen]
        )
