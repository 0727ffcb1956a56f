"""Greedy decoding, batched over utterances, which may come whole or in pieces."""

from __future__ import annotations

import torch
from torch import Tensor

from icefall_sampled.decoding.searches.constraint import OutputLayer
from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.modeling import Transducer
from icefall_sampled.tokens import BLANK

# After a blank the predictor's output stays the same, so later frames can be computed together with
# the current one. Frames computed beyond a label are wasted. So only a few frames are computed
# ahead, and only where there are too few utterances for an efficient matrix product.
_NODES_AT_ONCE = 64
_MOST_AHEAD = 4


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
        max_symbols: most labels at one frame, at least 1; then the next frame begins.

    Returns:
        N hypotheses. Ties go to the class in the lower column.

    Raises:
        ValueError: where max_symbols is below 1, or `allowed` does not fit.
    """
    search = GreedySearch(model, len(encoder_out), max_symbols=max_symbols)
    search.advance(encoder_out, encoder_lengths, allowed=allowed)
    return [best[0] for best in search.results()]


class GreedySearch:
    """Greedy decoding of N utterances whose frames may come in pieces."""

    @torch.no_grad()
    def __init__(self, model: Transducer, num: int, *, max_symbols: int = 10) -> None:
        """Start N utterances; the arguments are those of `greedy`."""
        if max_symbols < 1:
            raise ValueError(f"max_symbols is {max_symbols}, it must be at least 1")
        self._model, self._max_symbols = model, max_symbols
        device = model.joiner.output.weight.device
        start = torch.full((num,), BLANK, dtype=torch.int64, device=device)
        out, self._state = model.predictor.step(start, model.predictor.initial_state(num, device))
        self._predicted = model.joiner.predictor_projection(out)
        self._log_probs = torch.zeros(num, dtype=torch.float64, device=device)
        self._done = [0] * num
        self._hypotheses = [Hypothesis() for _ in range(num)]

    @torch.no_grad()
    def advance(
        self, encoder_out: Tensor, encoder_lengths: Tensor, *, allowed: Tensor | None = None
    ) -> None:
        """Decode further frames: (N, T, D) and (N,) lengths, which may be 0."""
        check_allowed(allowed, len(self._hypotheses))
        frames = self._model.joiner.encoder_projection(encoder_out)
        output = OutputLayer(self._model.joiner, allowed)
        # Each utterance advances on its own: `at` is its frame, `said` its number of labels there.
        at, said = torch.zeros_like(encoder_lengths), torch.zeros_like(encoder_lengths)
        rows = torch.nonzero(encoder_lengths > 0)[:, 0]
        while len(rows):
            ahead = max(1, min(_MOST_AHEAD, _NODES_AT_ONCE // len(rows)))
            t = at[rows, None] + torch.arange(ahead, device=rows.device)
            scores, columns = self._best(frames, output, rows, t, t < encoder_lengths[rows, None])
            spoken = columns != BLANK  # blank is column 0 of every row
            speaks = spoken.any(dim=1)
            blanks = torch.where(speaks, spoken.to(torch.int8).argmax(dim=1), ahead)
            used = torch.arange(ahead, device=rows.device) <= blanks[:, None]
            self._log_probs[rows] += (scores * used).sum(dim=1)
            at[rows] += blanks
            said[rows] = said[rows].masked_fill(blanks > 0, 0) + speaks
            if bool(speaks.any()):
                place = rows[speaks], blanks[speaks]
                columns = columns[speaks].gather(1, place[1][:, None])[:, 0]
                nats = scores[speaks].gather(1, place[1][:, None])[:, 0]
                self._say(place[0], output.labels(columns, place[0]), nats, at[place[0]])
            full = rows[said[rows] == self._max_symbols]
            at[full] += 1
            said[full] = 0
            rows = rows[at[rows] < encoder_lengths[rows]]
        pairs = zip(self._done, encoder_lengths.tolist(), strict=True)
        self._done = [done + new for done, new in pairs]

    def results(self, nbest: int | None = None) -> list[list[Hypothesis]]:
        """The hypothesis of each utterance so far, as an n-best list of one."""
        totals = zip(self._hypotheses, self._log_probs.tolist(), strict=True)
        return [
            [Hypothesis(x.tokens[:], x.frames[:], x.token_log_probs[:], total)][:nbest]
            for x, total in totals
        ]

    def _best(
        self, frames: Tensor, output: OutputLayer, rows: Tensor, t: Tensor, inside: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Log-probability and column of the best class at the frames (n, W) of n utterances.

        Beyond the end of an utterance it is blank, with probability 1.
        """
        nodes = torch.nonzero(inside, as_tuple=True)
        row = rows[nodes[0]]
        best = output.log_probs(frames[row, t[nodes]], self._predicted[row], row).max(dim=-1)
        scores = torch.zeros(t.shape, dtype=torch.float64, device=t.device)
        columns = torch.full_like(t, BLANK)
        scores[nodes], columns[nodes] = best.values.double(), best.indices
        return scores, columns

    def _say(self, rows: Tensor, labels: Tensor, nats: Tensor, frames: Tensor) -> None:
        """Append a label to each of the utterances `rows` and step the predictor."""
        out, self._state[rows] = self._model.predictor.step(labels, self._state[rows])
        self._predicted[rows] = self._model.joiner.predictor_projection(out)
        said = (rows.tolist(), labels.tolist(), nats.tolist(), frames.tolist())
        for row, label, value, frame in zip(*said, strict=True):
            hypothesis = self._hypotheses[row]
            hypothesis.tokens.append(label)
            hypothesis.frames.append(self._done[row] + frame)
            hypothesis.token_log_probs.append(value)


def check_allowed(allowed: Tensor | None, num: int) -> None:
    """Raise ValueError unless `allowed` has one row for each of `num` utterances."""
    if allowed is not None and len(allowed) != num:
        raise ValueError(f"allowed has {len(allowed)} rows, it must have one for each of {num}")
