"""Time-synchronous beam search (Saon et al. 2020): several labels per frame, batched.

It searches Graves' hypotheses, but all hypotheses of a batch together. At each frame, each of them
emits blank, which ends the frame for it, or a label, after which it stays at the same frame. The
probability of a sequence is the sum over all alignments that were not pruned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from icefall_sampled.decoding.searches.batched_beam import BatchedBeamSearch
from icefall_sampled.decoding.searches.beams import Beams
from icefall_sampled.decoding.searches.constraint import OutputLayer
from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.decoding.searches.language_model import LanguageModel
from icefall_sampled.decoding.searches.ranking import top_in_order
from icefall_sampled.decoding.searches.trace import Step
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
    """Keep, at every frame, the `beam` most probable label sequences that have ended it.

    Args:
        model: in eval mode.
        encoder_out: (N, T, D) unprojected encoder output.
        encoder_lengths: (N,).
        allowed: (N, K) classes that may be emitted, blank in column 0; None for all.
        beam: B, at least 1.
        max_symbols: most labels at one frame, at least 1; blank must follow them.
        max_gap: nats; hypotheses further than this behind the best one are dropped.
        length_norm: whether the final order is by nats per label.
        nbest: most hypotheses per utterance; None for all.
        lm: for shallow fusion.
        lm_weight: factor of its log-probabilities.

    Returns:
        For each utterance 1 to B hypotheses, the best first. Ties are ordered by these rules: the
        hypothesis with fewer labels of the last frame first, then the better history, then the
        label in the lower column.

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
    """Time-synchronous beam search of N utterances whose frames may come in pieces."""

    def __init__(
        self, model: Transducer, num: int, *, max_symbols: int = 10, **options: Any
    ) -> None:
        """Start N utterances; the arguments are those of `time_sync_beam`."""
        if max_symbols < 1:
            raise ValueError(f"max_symbols is {max_symbols}, it must be at least 1")
        super().__init__(model, num, **options)
        self._max_symbols = max_symbols

    def _advance_frame(self, frames: Tensor, rows: Tensor, output: OutputLayer) -> Step:
        """Advance the utterances `rows` by one (n, J) frame; returns its step for the trace."""
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
            # A label never makes a sequence more probable, so a hypothesis behind all B ended
            # ones cannot become one of the best B. (It could be merged with one; that is given up.)
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
    """The best hypotheses that have emitted blank at this frame, best first; tensors are (n, B)."""

    rank: Tensor
    log_prob: Tensor
    key: Tensor
    """Hash of the label sequence, as in `Beams`."""
    state_of: Tensor
    """The hypothesis with its state, numbered over all rounds, B in each."""
    way: Tensor
    """The hypothesis, numbered likewise, of its most probable alignment through the frame."""

    @staticmethod
    def nothing(active: Beams) -> _Ended:
        """No hypothesis yet."""
        nobody = torch.full_like(active.log_prob, -math.inf)
        zeros = torch.zeros_like(active.key)
        return _Ended(nobody, nobody.clone(), zeros, zeros, zeros)

    def with_blanks(
        self, active: Beams, log_probs: Tensor, nodes: tuple[Tensor, ...], count: int
    ) -> _Ended:
        """The best B of these and the active hypotheses of round `count` after blank."""
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
    """The labels that (n, B) hypotheses have emitted at this frame so far."""

    source: Tensor
    """(n, B) the slot of each before the frame."""
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
        """The ways of the slots `source` (n, B), each extended by one label."""
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
        """The trace's step for this frame, from the ways (n, B) `chosen`."""
        return Step(
            self.source[rows, chosen], self.label[rows, chosen], self.log_prob[rows, chosen]
        )
