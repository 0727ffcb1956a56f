"""Plain searches over one utterance, which compute every node from scratch, in Python's floats."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from icefall_sampled.config import PredictorConfig
from icefall_sampled.decoding import Hypothesis
from icefall_sampled.modeling import Transducer
from icefall_sampled.sampling import top_k
from tests.support.tiny import tiny_config, tiny_model

PREDICTORS = {
    "lstm": PredictorConfig(embedding_width=8, hidden_width=16, num_layers=2),
    "stateless": PredictorConfig(kind="stateless", embedding_width=8, hidden_width=16),
}

Labels = tuple[int, ...]


def random_model(
    kind: str = "lstm", *, vocab_size: int = 12, seed: int = 0, blank: float = 1.0
) -> Transducer:
    """A random model in float64 whose decisions vary; `blank` is how much it likes silence."""
    config = replace(tiny_config(), predictor=PREDICTORS[kind])
    model = tiny_model(config, vocab_size=vocab_size, seed=seed, scale=3.0).double()
    with torch.no_grad():
        model.joiner.output.bias[0] += blank
    return model


def random_frames(lengths: list[int], *, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Encoder output whose padding is NaN, and its lengths."""
    generator = torch.Generator().manual_seed(seed)
    out = torch.randn(len(lengths), max(lengths), 16, generator=generator, dtype=torch.float64)
    for n, length in enumerate(lengths):
        out[n, length:] = float("nan")
    return out, torch.tensor(lengths)


class Nodes:
    """The log-probabilities of one utterance's lattice, node by node, for any history."""

    def __init__(self, model: Transducer, frames: Tensor, classes: list[int]) -> None:
        self._model, self._frames, self.classes = model, frames, classes
        self._known: dict[tuple[int, Labels], list[float]] = {}

    @torch.no_grad()
    def log_probs(self, t: int, labels: Labels) -> dict[int, float]:
        """By class, blank (0) first."""
        if (t, labels) not in self._known:
            model = self._model
            predicted = model.predictor(torch.tensor([[0, *labels]]))[0, -1]
            acoustic = model.joiner.encoder_projection(self._frames[t])
            hidden = torch.tanh(acoustic + model.joiner.predictor_projection(predicted))
            logits = model.joiner.output(hidden)[self.classes]
            self._known[t, labels] = logits.log_softmax(0).tolist()
        return dict(zip(self.classes, self._known[t, labels], strict=True))


def total_of_every_sequence(
    nodes: Nodes, num_frames: int, *, max_symbols: int
) -> dict[Labels, float]:
    """The log-probability of every label sequence: all alignments with so many labels a frame."""
    totals: dict[Labels, float] = {(): 0.0}
    for t in range(num_frames):
        new: dict[Labels, float] = defaultdict(lambda: -math.inf)
        for labels, before in totals.items():
            for count in range(max_symbols + 1):
                for added in itertools.product(nodes.classes[1:], repeat=count):
                    value = before
                    for u, label in enumerate(added):
                        value += nodes.log_probs(t, labels + added[:u])[label]
                    # With one label a frame, as in modified beam search, the label takes the frame.
                    if not (max_symbols == 1 and count == 1):
                        value += nodes.log_probs(t, labels + added)[0]
                    new[labels + added] = _add(new[labels + added], value)
        totals = dict(new)
    return totals


def plain_modified_beam(nodes: Nodes, num_frames: int, *, beam: int) -> list[tuple[Labels, float]]:
    """The `beam` best at every frame, one label a frame, equal sequences merged."""
    hypotheses: dict[Labels, float] = {(): 0.0}
    for t in range(num_frames):
        new: dict[Labels, float] = defaultdict(lambda: -math.inf)
        for labels, before in hypotheses.items():
            for label, value in nodes.log_probs(t, labels).items():
                longer = (*labels, label) if label else labels
                new[longer] = _add(new[longer], before + value)
        hypotheses = dict(sorted(new.items(), key=lambda item: -item[1])[:beam])
    return list(hypotheses.items())


def _add(a: float, b: float) -> float:
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def plain_graves_beam(
    nodes: Nodes, num_frames: int, *, beam: int, max_symbols: int
) -> list[tuple[Labels, float]]:
    """Algorithm 1 of Graves 2012, line by line; a sequence goes on with its `beam` best labels."""
    B: dict[Labels, float] = {(): 0.0}
    for t in range(num_frames):
        A, B = dict(B), {}
        before = dict(A)
        for y in A:
            for prefix in (y[:n] for n in range(len(y)) if y[:n] in before):
                if len(y) - len(prefix) <= max_symbols:
                    steps = range(len(prefix), len(y))
                    way = sum(nodes.log_probs(t, y[:n])[y[n]] for n in steps)
                    A[y] = _add(A[y], before[prefix] + way)
        gained = dict.fromkeys(A, 0)
        while A and sum(value > max(A.values()) for value in B.values()) < beam:
            best = max(A, key=lambda y: A[y])
            value = A.pop(best)
            log_probs = nodes.log_probs(t, best)
            B[best] = value + log_probs[0]
            labels = sorted(nodes.classes[1:], key=lambda k: -log_probs[k])[:beam]
            for k in labels if gained[best] < max_symbols else []:
                if (*best, k) not in before:
                    A[(*best, k)] = value + log_probs[k]
                    gained[(*best, k)] = gained[best] + 1
        B = dict(sorted(B.items(), key=lambda item: -item[1])[:beam])
    return list(B.items())


def some_classes(num: int, k: int, *, vocab_size: int = 12, seed: int = 0) -> Tensor:
    """(num, k) random classes, blank first, in rising order."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(num, vocab_size, generator=generator, dtype=torch.float64)
    return top_k(weights, k).sort(dim=1).values


def same_lists(actual: list[Hypothesis], expected: list[Hypothesis]) -> bool:
    """Whether two n-best lists hold the same hypotheses in the same order."""
    return all(
        (a.tokens, a.frames) == (b.tokens, b.frames)
        and [a.log_prob, *a.token_log_probs] == pytest.approx([b.log_prob, *b.token_log_probs])
        for a, b in zip(actual, expected, strict=True)
    )


def alignment_log_prob(
    nodes: Nodes, hypothesis: Hypothesis, num_frames: int, *, blank_after_labels: bool
) -> float:
    """The log-probability of the one alignment that a hypothesis shows.

    Its labels' own log-probabilities are checked on the way.
    """
    total, said = 0.0, ()
    for t in range(num_frames):
        here = [k for k, frame in enumerate(hypothesis.frames) if frame == t]
        for k in here:
            value = nodes.log_probs(t, said)[hypothesis.tokens[k]]
            assert value == pytest.approx(hypothesis.token_log_probs[k])
            total, said = total + value, (*said, hypothesis.tokens[k])
        if blank_after_labels or not here:
            total += nodes.log_probs(t, said)[0]
    assert list(said) == hypothesis.tokens
    return total


def plain_time_sync_beam(
    nodes: Nodes, num_frames: int, *, beam: int, max_symbols: int
) -> list[tuple[Labels, float]]:
    """At every frame: blank ends the frame, labels go on at it, while they can still come in."""
    hypotheses: dict[Labels, float] = {(): 0.0}
    for t in range(num_frames):
        active, ended = dict(hypotheses), dict[Labels, float]()
        for count in range(max_symbols + 1):
            longer = {}
            for labels, before in active.items():
                for label, value in nodes.log_probs(t, labels).items():
                    if label == 0:
                        ended[labels] = _add(ended.get(labels, -math.inf), before + value)
                    else:
                        longer[(*labels, label)] = before + value
            ended = dict(sorted(ended.items(), key=lambda item: -item[1])[:beam])
            last = min(ended.values()) if len(ended) == beam else -math.inf
            best = sorted(longer.items(), key=lambda item: -item[1])[:beam]
            active = {labels: value for labels, value in best if value > last}
            if count == max_symbols or not active:
                break
        hypotheses = ended
    return list(hypotheses.items())
