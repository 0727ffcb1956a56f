"""Modified beam search: at most one label per frame, batched over utterances and hypotheses.

The search of Kang et al. 2022, "Fast and parallel decoding for transducer" (k2's and icefall's
modified_beam_search): all hypotheses move on by one frame together. A model that emits
several labels at a frame, as models with long frames learn to, needs `time_sync_beam` instead.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from icefall_sampled.decoding.searches.batched_beam import BatchedBeamSearch
from icefall_sampled.decoding.searches.beams import Beams, Candidates
from icefall_sampled.decoding.searches.constraint import OutputLayer
from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.decoding.searches.language_model import LanguageModel
from icefall_sampled.decoding.searches.ranking import top_in_order
from icefall_sampled.decoding.searches.trace import Step
from icefall_sampled.modeling import Transducer
from icefall_sampled.tokens import BLANK


@torch.no_grad()
def modified_beam(
    model: Transducer,
    encoder_out: Tensor,
    encoder_lengths: Tensor,
    *,
    allowed: Tensor | None = None,
    beam: int = 10,
    max_gap: float = math.inf,
    length_norm: bool = True,
    nbest: int | None = None,
    lm: LanguageModel | None = None,
    lm_weight: float = 0.0,
) -> list[list[Hypothesis]]:
    """Keep the `beam` most probable label sequences at every frame.

    Args:
        model: in eval mode.
        encoder_out: (N, T, D) unprojected encoder output.
        encoder_lengths: (N,).
        allowed: (N, K) classes that may be emitted, blank in column 0; None for all.
        beam: B, at least 1; 1 is greedy search with one label per frame.
        max_gap: nats; hypotheses further than this behind the best one are dropped.
        length_norm: whether the final order is by nats per label.
        nbest: most hypotheses per utterance; None for all.
        lm: for shallow fusion.
        lm_weight: factor of its log-probabilities.

    Returns:
        For each utterance 1 to B hypotheses, the best first. Ties are ordered by these rules: a
        hypothesis that ended in blank first, then the better history, then the label in the
        lower column.

    Raises:
        ValueError: where an argument is out of its range, or `allowed` does not fit.
    """
    search = ModifiedBeamSearch(
        model, len(encoder_out), beam=beam, max_gap=max_gap, length_norm=length_norm,
        lm=lm, lm_weight=lm_weight,
    )  # fmt: skip
    search.advance(encoder_out, encoder_lengths, allowed=allowed)
    return search.results(nbest)


class ModifiedBeamSearch(BatchedBeamSearch):
    """Modified beam search of N utterances whose frames may come in pieces."""

    def _advance_frame(self, frames: Tensor, rows: Tensor, output: OutputLayer) -> Step:
        """Advance the utterances `rows` by one (n, J) frame; returns its step for the trace."""
        old = self._rows(rows)
        nodes, log_probs = self._nodes(frames, old, output)
        stayed = _stay(old, log_probs, nodes, output)
        grown = self._grow(old, log_probs, nodes, output)
        rank, chosen = top_in_order(torch.cat([stayed.rank, grown.rank], dim=1), self._beam)
        best = stayed.joined(grown).gather(chosen)
        near = rank >= rank[:, :1] - self._max_gap
        best.log_prob = best.log_prob.masked_fill(~near, -math.inf)
        self._beams.put(rows, self._moved(old, best))
        return Step(best.back, best.spoken[..., None], best.spoken_log_prob[..., None])


def _stay(
    old: Beams, log_probs: Tensor, nodes: tuple[Tensor, ...], output: OutputLayer
) -> Candidates:
    """Each hypothesis after blank, merged with its parent hypothesis after the label between them.

    A label that is merged in this way is no separate candidate any more: its entry in `log_probs`
    becomes -inf.
    """
    total = old.log_prob.clone()
    total[nodes] += log_probs[:, BLANK].double()
    slots = torch.arange(total.shape[1], device=total.device).expand_as(total)
    blank = torch.zeros_like(slots)
    back, spoken, nats = slots.clone(), blank.clone(), torch.zeros_like(total)
    there = old.log_prob > -math.inf
    same = (old.parent_key[:, :, None] == old.key[:, None, :]) & there[:, :, None]
    rows, child, parent = torch.nonzero(same & there[:, None, :], as_tuple=True)
    if len(rows):
        label = old.last[rows, child]
        columns, possible = output.columns(label, rows)
        rows, child, parent, label, columns = (
            x[possible] for x in (rows, child, parent, label, columns)
        )
        number = torch.zeros_like(slots)
        number[nodes] = torch.arange(len(nodes[0]), device=total.device)
        node = number[rows, parent]
        value = log_probs[node, columns].double()
        log_probs[node, columns] = -math.inf
        arriving, staying = old.log_prob[rows, parent] + value, total[rows, child]
        total[rows, child] = torch.logaddexp(staying, arriving)
        likelier = arriving > staying
        back[rows, child] = torch.where(likelier, parent, child)
        spoken[rows, child] = torch.where(likelier, label, 0)
        nats[rows, child] = torch.where(likelier, value, 0.0)
    return Candidates(
        rank=total + old.bonus, log_prob=total, source=slots, label=blank,
        back=back, spoken=spoken, spoken_log_prob=nats,
    )  # fmt: skip
