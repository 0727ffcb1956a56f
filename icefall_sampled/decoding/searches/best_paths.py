"""The best paths through a lattice with different label sequences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.tokens import BLANK


class Arc(NamedTuple):
    """An arc of a lattice; it consumes one frame."""

    source: int
    target: int
    label: int
    """0 for blank; -1 for an arc to the final state."""
    log_prob: float


class _Label(NamedTuple):
    """A label of a path, linked to the label before it."""

    before: _Label | None
    label: int
    frame: int
    log_prob: float


# A path: its log-probability, a number that identifies its label sequence, and its last label.
# Plain tuples, because half an hour of speech makes millions of them.
_Path = tuple[float, int, _Label | None]
# A path that may be among the best: its log-probability and number, the last label before its last
# arc, and that arc.
_Candidate = tuple[float, int, _Label | None, Arc]


def best_paths(
    arcs: Sequence[Arc], *, count: int, names: Sequence[int] | None = None
) -> list[Hypothesis]:
    """The most probable label sequences of a lattice, each with its most probable path; exact.

    Keeping `count` paths per state is enough: if two paths leave a state by the same arcs, the
    better one stays better.

    Args:
        arcs: sorted by source; a state has a higher number than any state before it. The last
            arc leads to the final state.
        count: most label sequences, at least 1.
        names: the class of each label; None where a label is its class.

    Returns:
        Hypotheses with different labels, the best first. Among equally probable ones, the one
        that came by an earlier arc to the state where they met.
    """
    start, end = arcs[0].source, arcs[-1].target
    reaching: dict[int, list[_Candidate]] = {}
    frame_of, sequences = {start: 0}, dict[tuple[int, int], int]()
    best: list[_Path] = [(0.0, 0, None)]
    for source, leaving in groupby(arcs, key=itemgetter(0)):
        frame = frame_of[source]
        if source != start:
            best = _best(reaching.pop(source), count, frame - 1)
        for arc in leaving:
            _, target, label, log_prob = arc
            frame_of[target] = frame + 1
            extended = reaching.setdefault(target, [])
            for total, sequence, last in best:
                if label > BLANK:
                    sequence = sequences.setdefault((sequence, label), len(sequences) + 1)
                extended.append((total + log_prob, sequence, last, arc))
    found = _best(reaching[end], count, frame_of[end] - 1)
    return [_hypothesis(total, last, names) for total, _, last in found]


def _best(candidates: list[_Candidate], count: int, frame: int) -> list[_Path]:
    """The best `count` with different labels, ties to the earlier; their last frame is `frame`."""
    if count == 1:
        chosen = [max(candidates, key=itemgetter(0))]
    else:
        by_labels: dict[int, _Candidate] = {}
        for candidate in sorted(candidates, key=itemgetter(0), reverse=True):
            by_labels.setdefault(candidate[1], candidate)
            if len(by_labels) == count:
                break
        chosen = list(by_labels.values())
    return [
        (
            total,
            sequence,
            _Label(last, arc.label, frame, arc.log_prob) if arc.label > BLANK else last,
        )
        for total, sequence, last, arc in chosen
    ]


def _hypothesis(log_prob: float, last: _Label | None, names: Sequence[int] | None) -> Hypothesis:
    """A path as a hypothesis of classes; `names` as in `best_paths`."""
    labels = list[_Label]()
    while last is not None:
        labels.append(last)
        last = last.before
    labels.reverse()
    return Hypothesis(
        tokens=[x.label if names is None else names[x.label] for x in labels],
        frames=[x.frame for x in labels],
        token_log_probs=[x.log_prob for x in labels],
        log_prob=log_prob,
    )
