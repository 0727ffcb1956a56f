"""Fast beam search with k2's RnntDecodingStreams: batched, with a lattice of each utterance.

Every frame emits blank or one label. Hypotheses with the same last labels are merged, because the
predictor sees only these. So the predictor must have a limited context.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from icefall_sampled.decoding.searches.best_paths import Arc, best_paths
from icefall_sampled.decoding.searches.constraint import OutputLayer
from icefall_sampled.decoding.searches.greedy import check_allowed
from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.decoding.searches.ranking import length_normalised
from icefall_sampled.errors import MissingPackage, UserError, first_line
from icefall_sampled.modeling import Transducer
from icefall_sampled.modeling.predictor import StatelessPredictor
from icefall_sampled.tokens import BLANK

_LARGEST_STATE = 2**53  # k2 computes the number of a state in float64
_LARGEST_GAP = 1e30  # finite: with infinity, k2 would keep impossible hypotheses


@torch.no_grad()
def fast_beam(
    model: Transducer,
    encoder_out: Tensor,
    encoder_lengths: Tensor,
    *,
    allowed: Tensor | None = None,
    beam: int = 10,
    max_gap: float = 10.0,
    nbest: int = 1,
    length_norm: bool = True,
) -> list[list[Hypothesis]]:
    """Keep the contexts near the best one at each frame, then take the best paths of the lattice.

    Args:
        model: in eval mode, with a stateless predictor.
        encoder_out: (N, T, D) unprojected encoder output.
        encoder_lengths: (N,); 0 is legal.
        allowed: (N, K) classes that may be emitted, blank among them; None for all.
        beam: contexts kept per utterance at a frame, and label sequences kept per utterance at
            the end; at least 1.
        max_gap: nats behind the best one at which a context is dropped; k2 calls this its beam.
        nbest: most label sequences per utterance, at least 1.
        length_norm: whether the `beam` most probable label sequences are ordered by nats per
            label; otherwise by nats.

    Returns:
        For each of N utterances different label sequences, the best first, each with its most
        probable alignment in the lattice. Ties go to the sequence whose last labels have the
        lower ids; k2 decides ties in pruning.

    Raises:
        ImportError: where k2 cannot be imported.
        ValueError: where the predictor is an LSTM, or an argument does not fit.
    """
    check_fast_beam(model)
    _check(model, encoder_lengths, allowed, beam, max_gap, nbest)
    # The longest first: those that still have frames are then the first rows of every tensor.
    lengths, order = encoder_lengths.sort(descending=True, stable=True)
    order = order[lengths > 0]
    found = [[Hypothesis()] for _ in range(len(lengths))]
    if len(order) == 0:
        return found
    # By ascending class, so that ties are decided as without a constraint.
    classes = None if allowed is None else allowed[order].sort(dim=1).values
    frames = model.joiner.encoder_projection(encoder_out[order, : int(lengths[0])])
    lattice = _decode(model, frames, lengths[: len(order)], classes, beam, max_gap)
    for i, (row, arcs) in enumerate(zip(order.tolist(), lattice, strict=True)):
        names = None if classes is None else classes[i].tolist()
        best = best_paths(arcs, count=beam if length_norm else min(nbest, beam), names=names)
        if length_norm:
            best.sort(key=lambda path: -length_normalised(path.log_prob, len(path.tokens)))
        found[row] = best[:nbest]
    return found


def check_fast_beam(model: Transducer) -> None:
    """Check, before anything is decoded, that fast beam search is possible.

    Raises:
        MissingPackage: where k2 cannot be imported.
        UserError: where the predictor is an LSTM.
    """
    _stateless(model)
    _k2()


def _stateless(model: Transducer) -> StatelessPredictor:
    if isinstance(model.predictor, StatelessPredictor):
        return model.predictor
    raise ValueError(
        "method is fast_beam, which needs a predictor that sees a few labels alone "
        f"(predictor.kind stateless); this model has a {type(model.predictor).__name__}: it must "
        "be greedy, beam, time_sync_beam or modified_beam"
    )


def _k2() -> Any:
    try:
        return importlib.import_module("k2")
    except (ImportError, OSError, RuntimeError) as error:  # a build for another torch
        raise MissingPackage(
            "method is fast_beam, which needs k2, and k2 cannot be imported here "
            f"({first_line(error)}): "
            "decode in the environment that shared/setup_env.sh makes, or install k2's own build "
            "for this torch"
        ) from error


def _check(
    model: Transducer,
    lengths: Tensor,
    allowed: Tensor | None,
    beam: int,
    max_gap: float,
    nbest: int,
) -> None:
    for name, value, legal, rule in (
        ("beam", beam, beam >= 1, "at least 1"),
        ("max_gap", max_gap, max_gap > 0, "positive"),
        ("nbest", nbest, nbest >= 1, "at least 1"),
    ):
        if not legal:
            raise ValueError(f"{name} is {value}, it must be {rule}")
    check_allowed(allowed, len(lengths))
    num_classes = model.vocab_size if allowed is None else allowed.shape[1]
    context = _stateless(model).context
    if 2 * max(len(lengths), 1) * num_classes**context >= _LARGEST_STATE:
        raise UserError(
            f"predictor.context_labels is {context}, it must be less for fast_beam among "
            f"{num_classes} classes: k2 cannot number so many contexts"
        )


def _decode(
    model: Transducer,
    frames: Tensor,
    lengths: Tensor,
    classes: Tensor | None,
    beam: int,
    max_gap: float,
) -> Iterator[list[Arc]]:
    """The lattice of each utterance, as arcs sorted by their source; longest utterance first.

    With a constraint, k2's labels are the K columns of the output layer. So one graph, which allows
    each label at any time, serves all utterances. Graphs with each utterance's own labels would
    lead to the same paths, but k2 would then need all V scores of every context at every frame.
    """
    k2, context = _k2(), _stateless(model).context
    output = OutputLayer(model.joiner, classes)
    num_columns = model.vocab_size if classes is None else classes.shape[1]
    num_labels = max(num_columns, 2)  # with blank alone, one label of probability 0 is added
    graph = k2.trivial_graph(num_labels - 1, frames.device)
    sources = [k2.RnntDecodingStream(graph) for _ in range(len(lengths))]
    config = k2.RnntDecodingConfig(
        vocab_size=num_labels,
        decoder_history_len=context,
        beam=min(max_gap, _LARGEST_GAP),
        # A context has two states: one from which labels continue, and the final one.
        max_states=2 * beam,
        max_contexts=beam,
    )
    streams = k2.RnntDecodingStreams(sources, config)
    predictions = _Predictions(model, classes, num_labels)
    # k2 makes the last frame's arcs lead to the final state, whatever their label and score. So
    # each utterance gets an extra frame, at which blank has probability 1.
    for t in range(int(lengths[0]) + 1):
        shape, contexts = streams.get_contexts()
        running = int(shape.row_splits(1)[int((lengths > t).sum())])
        log_probs = frames.new_full((len(contexts), num_labels), -torch.inf, dtype=torch.float32)
        log_probs[running:, BLANK] = 0.0
        if running:
            rows = shape.row_ids(1)[:running].long()
            predicted = predictions.of(rows, contexts[:running].long())
            scores = output.log_probs(frames[rows, t], predicted, rows)
            log_probs[:running, :num_columns] = scores
        streams.advance(log_probs)
    streams.terminate_and_flush_to_streams()
    yield from _arcs(streams.format_output((lengths + 1).tolist()))


def _arcs(lattice: Any) -> Iterator[list[Arc]]:
    """The arcs of each FSA of an FsaVec."""
    shape = lattice.arcs.shape()
    splits = shape.row_splits(2)[shape.row_splits(1).long()].tolist()
    arcs, log_probs = lattice.arcs.values()[:, :3].tolist(), lattice.scores.tolist()
    for begin, end in pairwise(splits):
        pairs = zip(arcs[begin:end], log_probs[begin:end], strict=True)
        yield [Arc(source, target, label, x) for (source, target, label), x in pairs]


class _Predictions:
    """Predictor outputs for contexts, cached: most contexts recur from frame to frame."""

    def __init__(self, model: Transducer, classes: Tensor | None, num_labels: int) -> None:
        self._predictor, self._projection = _stateless(model), model.joiner.predictor_projection
        self._classes = classes
        weight = model.joiner.output.weight
        places = range(self._predictor.context, -1, -1)  # utterance, oldest label, …, latest
        self._places = torch.tensor([num_labels**i for i in places], device=weight.device)
        self._known = torch.full((1,), -1, device=weight.device)
        self._out = weight.new_zeros(1, weight.shape[1])

    def of(self, rows: Tensor, contexts: Tensor) -> Tensor:
        """(n,) utterances, (n, context) columns -> (n, J) projected predictor outputs."""
        codes = (torch.cat([rows[:, None], contexts], dim=1) * self._places).sum(dim=1)
        # The search needs sorted codes. k2 returns contexts sorted; otherwise it would find fewer.
        at = torch.searchsorted(self._known, codes).clamp(max=len(self._known) - 1)
        out, new = self._out[at], torch.nonzero(self._known[at] != codes)[:, 0]
        if len(new):
            labels = contexts[new]
            if self._classes is not None:
                labels = self._classes[rows[new, None], labels]
            out[new] = self._projection(self._predictor.step(labels[:, -1], labels[:, :-1])[0])
        self._known, self._out = codes, out
        return out
