"""The best paths through a lattice that differ in what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from icefall_sampled.decoding.hypothesis import Hypothesis
from icefall_sampled.tokens import BLANK


class Arc(NamedTuple):
    """An arc of a lattice, which takes a frame."""

    source: int
    target: int
    label: int
    """0 for blank; -1 for what leads to the end."""
    log_prob: float


class _Label(NamedTuple):
    """The last label of a path, and what was before it."""

    before: _Label | None
    label: int
    frame: int
    log_prob: float


class _Path(NamedTuple):
    """A way through a lattice from its start."""

    log_prob: float
    sequence: int
    """A number for its labels: paths with the same labels have the same."""
    last: _Label | None

    def hypothesis(self, names: Sequence[int] | None) -> Hypothesis:
        """As a hypothesis of classes; `names` is the class of each label, None for the same."""
        labels, label = [], self.last
        while label is not None:
            labels.append(label)
            label = label.before
        labels.reverse()
        return Hypothesis(
            tokens=[x.label if names is None else names[x.label] for x in labels],
            frames=[x.frame for x in labels],
            token_log_probs=[x.log_prob for x in labels],
            log_prob=self.log_prob,
        )


def best_paths(
    arcs: Sequence[Arc], *, count: int, names: Sequence[int] | None = None
) -> list[Hypothesis]:
    """The most probable label sequences of a lattice, each with its most probable path; exact.

    That a state keeps `count` paths is enough: of two that leave it alike, the better one stays
    the better one.

    Args:
        arcs: sorted by their source, which has a higher number than any state before it; the
            last arc leads to the end.
        count: how many at the most, at least 1.
        names: the class of each label; None where a label is its class.

    Returns:
        Hypotheses with different labels, the best first. Of equally probable ones, that which
        came by an earlier arc to where they met.
    """
    start, end = arcs[0].source, arcs[-1].target
    reaching: dict[int, list[_Path]] = {start: [_Path(0.0, 0, None)]}
    frame_of, sequences = {start: 0}, dict[tuple[int, int], int]()
    state, best = -1, list[_Path]()
    for arc in arcs:
        if arc.source != state:
            state = arc.source
            best = _distinct(reaching.pop(state), count)
        frame = frame_of[state]
        frame_of[arc.target] = frame + 1
        extended = reaching.setdefault(arc.target, [])
        for path in best:
            total = path.log_prob + arc.log_prob
            if arc.label > BLANK:
                key = (path.sequence, arc.label)
                number = sequences.setdefault(key, len(sequences) + 1)
                last = _Label(path.last, arc.label, frame, arc.log_prob)
                extended.append(_Path(total, number, last))
            else:
                extended.append(_Path(total, path.sequence, path.last))
    return [path.hypothesis(names) for path in _distinct(reaching[end], count)]


def _distinct(paths: list[_Path], count: int) -> list[_Path]:
    """The best `count` with different labels; of equal ones the earlier."""
    if count == 1:
        return [max(paths, key=lambda path: path.log_prob)]
    best: dict[int, _Path] = {}
    for path in sorted(paths, key=lambda path: -path.log_prob):
        best.setdefault(path.sequence, path)
        if len(best) == count:
            break
    return list(best.values())
