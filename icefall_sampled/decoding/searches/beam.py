"""Graves' beam search (Graves 2012, Algorithm 1), which the paper decodes LibriSpeech with.

It processes one utterance and one label sequence at a time; use `modified_beam` if speed matters.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from icefall_sampled.decoding.searches.constraint import OutputLayer
from icefall_sampled.decoding.searches.greedy import check_allowed
from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.decoding.searches.ranking import length_normalised, top_in_order
from icefall_sampled.modeling import Transducer
from icefall_sampled.tokens import BLANK

Labels = tuple[int, ...]


@torch.no_grad()
def beam_search(
    model: Transducer,
    encoder_out: Tensor,
    encoder_lengths: Tensor,
    *,
    allowed: Tensor | None = None,
    beam: int = 10,
    max_symbols: int = 10,
    length_norm: bool = True,
) -> list[list[Hypothesis]]:
    """Keep the W most probable label sequences, each with any number of labels at a frame.

    Args:
        model: in eval mode.
        encoder_out: (N, T, D) unprojected encoder output.
        encoder_lengths: (N,).
        allowed: (N, K) classes that may be emitted, blank in column 0; None for all.
        beam: W, at least 1; a sequence is continued by its W most probable labels.
        max_symbols: most labels that a sequence may gain at one frame, at least 1.
        length_norm: whether the final order is by nats per label, as in Graves' last line.

    Returns:
        For each utterance 1 to W hypotheses, the best first. Among equals, the one reached first
        comes first: a sequence before its continuations, and these by ascending label.

    Raises:
        ValueError: where an argument is out of its range, or `allowed` does not fit.
    """
    for name, value in (("beam", beam), ("max_symbols", max_symbols)):
        if value < 1:
            raise ValueError(f"{name} is {value}, it must be at least 1")
    check_allowed(allowed, len(encoder_out))
    frames = model.joiner.encoder_projection(encoder_out)
    found = []
    for n, length in enumerate(encoder_lengths.tolist()):
        classes = None if allowed is None else allowed[n : n + 1]
        search = _Search(model, frames[n, :length], classes, beam=beam, max_symbols=max_symbols)
        best = search.run()
        if length_norm:
            best.sort(key=lambda path: -length_normalised(path.log_prob, len(path.labels)))
        found.append([path.hypothesis() for path in best])
    return found


@dataclass(frozen=True)
class _Path:
    """A label sequence and its most probable alignment."""

    labels: Labels = ()
    log_prob: float = 0.0
    """Sum over all alignments of the sequence that were found."""
    frames: Labels = ()
    label_log_probs: tuple[float, ...] = ()
    gained: int = 0
    """Number of its labels from the current frame."""

    def with_labels(self, added: Iterable[tuple[int, float]], frame: int) -> _Path:
        """The path extended, at one frame, by labels with these log-probabilities."""
        labels, nats = zip(*added, strict=True)
        return _Path(
            self.labels + labels,
            self.log_prob + sum(nats),
            self.frames + (frame,) * len(labels),
            self.label_log_probs + nats,
            self.gained + len(labels),
        )

    def hypothesis(self) -> Hypothesis:
        return Hypothesis(
            list(self.labels), list(self.frames), list(self.label_log_probs), self.log_prob
        )


@dataclass(frozen=True)
class _Node:
    """Log-probabilities at a frame after a label sequence."""

    blank: float
    best: list[tuple[int, float]]
    """The labels by which a path is extended, with log-probabilities."""
    all: Tensor
    """(K,) by column."""


class _Search:
    """Algorithm 1 for one utterance; its A and B are `open` and `done` below."""

    def __init__(
        self,
        model: Transducer,
        frames: Tensor,
        allowed: Tensor | None,
        *,
        beam: int,
        max_symbols: int,
    ) -> None:
        self._predictor, self._projection = model.predictor, model.joiner.predictor_projection
        self._frames, self._beam, self._max_symbols = frames, beam, max_symbols
        self._output = OutputLayer(model.joiner, allowed)
        self._columns: dict[int, int] | None = None
        if allowed is not None:
            self._columns = {label: column for column, label in enumerate(allowed[0].tolist())}
        start = torch.full((1,), BLANK, dtype=torch.int64, device=frames.device)
        out, state = self._predictor.step(start, self._predictor.initial_state(1, frames.device))
        # By label sequence: the projected predictor output (J,) and the predictor's state.
        self._predicted: dict[Labels, tuple[Tensor, Tensor]] = {
            (): (self._projection(out)[0], state[0])
        }
        self._nodes: dict[Labels, _Node] = {}

    def run(self) -> list[_Path]:
        """The W most probable paths, the best first."""
        paths = [_Path()]
        for t in range(len(self._frames)):
            paths = self._frame(t, paths)
            self._forget(paths)
        return paths

    def _frame(self, t: int, paths: list[_Path]) -> list[_Path]:
        known = {path.labels: path for path in paths}
        self._nodes = {}
        self._compute(t, list(dict.fromkeys(x for path in paths for x in self._way(path, known))))
        open_paths = [self._with_prefixes(t, path, known) for path in paths]
        queue = [(-path.log_prob, number, path) for number, path in enumerate(open_paths)]
        heapq.heapify(queue)
        number, done = len(queue), list[_Path]()
        while queue and sum(path.log_prob > -queue[0][0] for path in done) < self._beam:
            path = heapq.heappop(queue)[2]
            if path.labels not in self._nodes:
                self._compute(t, [path.labels])
            node = self._nodes[path.labels]
            done.append(replace(path, log_prob=path.log_prob + node.blank, gained=0))
            if path.gained == self._max_symbols:
                continue
            for label, value in node.best:
                # If the longer path existed before this frame, its sum includes this one already.
                if (*path.labels, label) not in known:
                    longer = path.with_labels([(label, value)], t)
                    heapq.heappush(queue, (-longer.log_prob, number, longer))
                    number += 1
        done.sort(key=lambda path: -path.log_prob)
        return done[: self._beam]

    def _prefixes(self, path: _Path, known: dict[Labels, _Path]) -> list[_Path]:
        """The other paths that become this one by labels of one frame."""
        shortest = max(len(path.labels) - self._max_symbols, 0)
        lengths = range(len(path.labels) - 1, shortest - 1, -1)
        return [known[path.labels[:n]] for n in lengths if path.labels[:n] in known]

    def _way(self, path: _Path, known: dict[Labels, _Path]) -> list[Labels]:
        """The sequences whose nodes a path needs: from its shortest prefix to itself."""
        lengths = [len(prefix.labels) for prefix in self._prefixes(path, known)]
        return [
            path.labels[:n]
            for n in range(min(lengths, default=len(path.labels)), len(path.labels) + 1)
        ]

    def _with_prefixes(self, t: int, path: _Path, known: dict[Labels, _Path]) -> _Path:
        """Add the probabilities of the path's prefixes that extend to it at this frame."""
        total, likeliest = path.log_prob, path
        for prefix in self._prefixes(path, known):
            added = [
                (path.labels[n], self._value(path.labels[:n], path.labels[n]))
                for n in range(len(prefix.labels), len(path.labels))
            ]
            other = prefix.with_labels(added, t)
            if other.log_prob > likeliest.log_prob:
                likeliest = other
            total = float(np.logaddexp(total, other.log_prob))
        return replace(likeliest, log_prob=total, gained=0)

    def _value(self, labels: Labels, label: int) -> float:
        """The log-probability of one more label."""
        column = label if self._columns is None else self._columns[label]
        return float(self._nodes[labels].all[column])

    def _compute(self, t: int, sequences: list[Labels]) -> None:
        """Compute the nodes of these sequences at a frame, into `self._nodes`."""
        for labels in sequences:
            self._predict(labels)
        predicted = torch.stack([self._predicted[labels][0] for labels in sequences])
        rows = torch.zeros(len(sequences), dtype=torch.int64, device=predicted.device)
        log_probs = self._output.log_probs(self._frames[t].expand_as(predicted), predicted, rows)
        values, columns = top_in_order(log_probs[:, 1:], min(self._beam, log_probs.shape[1] - 1))
        found = self._output.labels(columns + 1, rows[:, None])
        columns_of = (log_probs[:, BLANK].tolist(), found.tolist(), values.tolist())
        for labels, every, blank, best, nats in zip(
            sequences, log_probs.cpu(), *columns_of, strict=True
        ):
            self._nodes[labels] = _Node(blank, list(zip(best, nats, strict=True)), every)

    def _predict(self, labels: Labels) -> None:
        """Step the predictor by a sequence's last label; the state before it is stored."""
        if labels not in self._predicted:
            state = self._predicted[labels[:-1]][1]
            label = torch.tensor(labels[-1:], device=state.device)
            out, state = self._predictor.step(label, state[None])
            self._predicted[labels] = (self._projection(out)[0], state[0])

    def _forget(self, paths: list[_Path]) -> None:
        """Drop the predictions that no later frame can need."""
        needed = {
            path.labels[:n]
            for path in paths
            for n in range(max(len(path.labels) - self._max_symbols, 0), len(path.labels) + 1)
        }
        self._predicted = {
            labels: value for labels, value in self._predicted.items() if labels in needed
        }
