"""The stages of a training step, each run by itself on a small batch.

A step is a sequence of stages: the front of the encoder, its blocks, the CTC losses, the choice of
classes, the predictor, and the joiner with the transducer loss. The allocations of a stage are
counted and extrapolated linearly: in the utterances N; in the lattice also in the frames T, because
every tensor that grows has a factor N T; and in the classes V, if there are too many to run. So the
prediction follows the code: a change of the encoder or a loss changes it, too.

The lattice keeps from forward to backward, besides its inputs:

    stored logits   activations (N, T, U + 1, J) and log-probabilities (N, T, U + 1, K), float32
    fused           for each of the N T (U + 1) nodes a float64 normalizer and two float32
                    posteriors, 16 bytes for any K; chunks of `chunk_mib()` are temporary
    pruned          activations (N, T, R, J) and logits (N, T, R, V), float32; with k2 1.23
                    backward temporarily has a gradient (N, T, U + 1, J) of the gather's input

N utterances, T encoder frames, U labels, D width, J joiner width, V classes, K of them sampled.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from icefall_sampled.config import Config, CtcConfig, EncoderConfig, LossConfig, SamplingConfig
from icefall_sampled.losses.chunks import MAX_COLUMNS, MIN_ROWS
from icefall_sampled.memory.allocations import MIB
from icefall_sampled.memory.footprint import (
    Footprint,
    Line,
    Stage,
    by_utterances,
    chunks_of,
    run_once,
)
from icefall_sampled.modeling import Encoded, Transducer
from icefall_sampled.modeling.conformer import Conformer, ConformerBlock, relative_positions
from icefall_sampled.modeling.subsampling import padding_mask, subsampled_lengths

FLOAT_BYTES = 4
FEW = (2, 3)
"""Sizes of the two batches with which a stage is run, in utterances."""
MIN_FRAMES = 16
"""Minimum T with which the lattice is run."""
PIECES = 4
"""Minimum number of chunks of an utterance when a fused loss is run."""
FRAMES_PER_SECOND = 100
MOST_CLASSES = 4096
"""A stage with more classes is run with two smaller numbers of them, and extrapolated."""


class Utterance(NamedTuple):
    """The size of every utterance in a batch: shorter ones are padded to it."""

    seconds: float
    labels: int

    @property
    def frames(self) -> int:
        """Input frames, of 10 ms."""
        return round(self.seconds * FRAMES_PER_SECOND)

    def encoder_frames(self, config: Config) -> int:
        """T, encoder frames."""
        return subsampled_lengths(self.frames, config.encoder.subsampling)


@functools.lru_cache(maxsize=64)
def encoder_stages(config: EncoderConfig, frames: int) -> tuple[Stage, Stage]:
    """The front of the encoder and one of its blocks, for `frames` input frames."""
    front = Conformer(replace(config, num_layers=0))
    block = ConformerBlock(config)
    num_frames = subsampled_lengths(frames, config.subsampling)

    def run_front(num: int) -> Footprint:
        features = torch.randn(num, frames, config.num_features)
        return run_once(front, lambda: front(features, _full(num, frames)))

    def run_block(num: int) -> Footprint:
        x = _leaf(num, num_frames, config.width)
        positions = relative_positions(num_frames, config.width, like=x)
        padding = padding_mask(_full(num, num_frames), num_frames)
        return run_once(block, lambda: [block(x, positions, padding)])

    return (
        _counted("encoder", by_utterances(run_front, 1, 3), front),
        _counted("encoder", by_utterances(run_block, 1, 3), block),
    )


def head_stages(config: Config, utterance: Utterance, vocab_size: int) -> dict[str, Stage]:
    """The stages above the encoder, in the order of forward: "ctc", "sampling", "predictor",
    "lattice"; and "conditioning", which follows a tapped block with self-conditioned CTC.

    Args:
        config: configures the model and its losses.
        utterance: the size of every utterance.
        vocab_size: V.
    """
    relevant = _relevant(config)
    stages = {name: _stage(name, part, utterance, vocab_size) for name, part in relevant.items()}
    lattice = stages["lattice"]
    # The transducer loss was run with the predictor, whose results have a stage of their own.
    line = lattice.line.without_kept(stages["predictor"].line)
    return {**stages, "lattice": replace(lattice, line=line)}


def _relevant(config: Config) -> dict[str, Config]:
    """The part of the config that each stage depends on, so that variants share cached stages."""
    encoder, sampling, loss = config.encoder, config.sampling, config.loss
    source = "none" if sampling.strategy == "none" else sampling.distribution
    # Of the loss, only this matters here: whether its draft needs a posterior from CTC.
    asks = LossConfig(draft_negatives=int(loss.wants_draft))
    ctc = Config(
        encoder=encoder, ctc=config.ctc, loss=asks,
        sampling=SamplingConfig(strategy="none" if source == "none" else "example",
                                distribution="uniform" if source == "none" else source),
    )  # fmt: skip
    has_ctc = config.ctc.joint_weight > 0 or bool(config.ctc.intermediate_layers)
    lattice = Config(
        encoder=encoder, predictor=config.predictor, joiner=config.joiner, loss=loss,
        sampling=replace(sampling, distribution="uniform"),
        ctc=CtcConfig() if has_ctc else CtcConfig(joint_weight=0.0),
    )  # fmt: skip
    stages = {
        "sampling": Config(encoder=encoder, ctc=config.ctc, sampling=sampling, loss=asks),
        "predictor": Config(encoder=encoder, predictor=config.predictor),
        "lattice": lattice,
    }
    if has_ctc:
        stages = {"ctc": ctc, **stages}
    if config.ctc.self_conditioning:
        stages["conditioning"] = ctc
    return stages


@functools.lru_cache(maxsize=1024)
def _stage(name: str, config: Config, utterance: Utterance, vocab_size: int) -> Stage:
    """A stage above the encoder; with very many classes, extrapolated from two smaller runs."""
    low = max(MOST_CLASSES // 2, config.sampling.num_sampled + 1)
    if vocab_size <= 2 * low:
        return _Probe(config, utterance, vocab_size).stage(name)
    few, many = (_Probe(config, utterance, v).stage(name) for v in (low, 2 * low))
    return few.towards(many, (vocab_size - low) / low)


class _Probe:
    """A model with one block, to run each part above the encoder separately."""

    def __init__(self, config: Config, utterance: Utterance, vocab_size: int) -> None:
        self.config, self.vocab_size = config, vocab_size
        self.num_labels = utterance.labels
        self.num_frames = utterance.encoder_frames(config)
        self.stores_logits = config.loss.kind == "pruned" or config.loss.implementation == "naive"
        torch.manual_seed(0)  # the nodes that a draft chooses depend on the weights
        one_block = replace(config, encoder=replace(config.encoder, num_layers=1))
        self.model = Transducer(one_block, vocab_size)

    def stage(self, name: str) -> Stage:
        """The stage of this name."""
        model = self.model
        if name == "ctc":
            return self._by_frame(self._ctc, model.ctc)
        if name == "conditioning":
            return self._by_frame(self._conditioning)
        if name == "sampling":
            return _counted("joiner and loss", by_utterances(self._sampling, *FEW))
        if name == "predictor":
            return _counted(name, by_utterances(self._predictor, *FEW), model.predictor)
        assert name == "lattice"
        return self._lattice()

    def _by_frame(self, run: Callable[[int], Footprint], module: nn.Module | None = None) -> Stage:
        """A stage that is computed in chunks of frames."""
        row = self._row_bytes(self.vocab_size, self.config.encoder.width)
        chunk = self.num_frames * row
        budget = max(chunk / PIECES, MIN_ROWS * row)
        with chunks_of(budget / MIB):
            line = by_utterances(run, *FEW)
        return replace(_counted("CTC", line, module), chunk=chunk, line_chunk=budget)

    @staticmethod
    def _row_bytes(columns: int, width: int) -> float:
        """Bytes of a row's logits and of three rows of input width; see `losses.chunks`."""
        return FLOAT_BYTES * (min(columns, MAX_COLUMNS) + 3 * width)

    @property
    def _num_classes(self) -> int:
        """K, or V with the full softmax."""
        sampling = self.config.sampling
        return self.vocab_size if sampling.strategy == "none" else sampling.num_sampled

    def _targets(self, num: int) -> tuple[Tensor, Tensor]:
        """Labels with fewer than K distinct classes, and their lengths."""
        distinct = min(self.vocab_size, self._num_classes) - 1
        row = torch.arange(self.num_labels) % distinct + 1
        return row.repeat(num, 1), _full(num, self.num_labels)

    def _encoded(self, num: int, num_frames: int, *, taps: int = 0) -> Encoded:
        out, *tapped = (_leaf(num, num_frames, self.config.encoder.width) for _ in range(taps + 1))
        return Encoded(out, _full(num, num_frames), tapped)

    def _conditioning(self, num: int) -> Footprint:
        head, encoded = self.model.ctc, self._encoded(num, self.num_frames)
        assert head is not None
        return run_once(head, lambda: [head.condition(encoded.out, encoded.lengths)])

    def _ctc(self, num: int) -> Footprint:
        encoded = self._encoded(num, self.num_frames, taps=len(self.config.ctc.intermediate_layers))
        targets = self._targets(num)

        def losses() -> list[Tensor]:
            return [x for x in self.model._ctc_losses(encoded, *targets) if x is not None]

        return run_once(self.model, losses)

    def _posterior(self, num: int) -> Tensor | None:
        if self.model._posterior_source() == "none":
            return None
        return torch.rand(num, self.vocab_size).softmax(-1)

    def _sampling(self, num: int) -> Footprint:
        posterior, targets = self._posterior(num), self._targets(num)

        def classes() -> list[Tensor]:
            vocabulary, _ = self.model._sample(posterior, *targets)
            return [] if vocabulary is None else list(vars(vocabulary).values())

        return run_once(self.model, classes)

    def _predictor(self, num: int) -> Footprint:
        history = torch.nn.functional.pad(self._targets(num)[0], (1, 0))
        return run_once(self.model, lambda: [self.model.predictor(history)])

    def _lattice(self) -> Stage:
        """The transducer loss with its projections, run with few frames and extrapolated to all."""
        few, num_nodes = self._few_frames(), self.num_labels + 1
        width, classes = self.config.joiner.width, self._num_classes
        row = self._row_bytes(classes, width)
        # Each utterance has its own (K, J) output layer, gathered.
        gathered = (
            FLOAT_BYTES * classes * width if self.config.sampling.strategy == "example" else 0
        )
        budget = gathered + max(few * num_nodes * row / PIECES, MIN_ROWS * row)
        with chunks_of(budget / MIB):
            low, high = (
                by_utterances(functools.partial(self._run_lattice, num_frames=t), *FEW)
                for t in (few, 2 * few)
            )
        whole = low.towards(high, (self.num_frames - few) / few)
        parts = nn.ModuleList(filter(None, (self.model.joiner, self.model.simple)))
        stage = _counted("joiner and loss", whole, parts)
        if self.stores_logits:
            return stage
        chunk = self.num_frames * num_nodes * row + gathered
        return replace(stage, chunk=chunk, line_chunk=budget)

    def _run_lattice(self, num: int, num_frames: int) -> Footprint:
        encoded, targets = self._encoded(num, num_frames), self._targets(num)
        if self.model.simple is not None:
            return run_once(self.model, lambda: self.model._pruned_losses(encoded, *targets))
        posterior = self._posterior(num)
        vocabulary, _ = self.model._sample(posterior, *targets)
        arguments = encoded, *targets, vocabulary, posterior
        return run_once(self.model, lambda: [self.model._transducer_loss(*arguments)])

    def _few_frames(self) -> int:
        """T at which the lattice outweighs the output layer's gradient, (V, J), as in training."""
        width, least, num_nodes = self.config.joiner.width, MIN_FRAMES, self.num_labels + 1
        if self.config.loss.kind == "pruned":
            # The pruned loss pads its input to at least as many frames as labels.
            least = max(least, self.num_labels)
            num_nodes = min(num_nodes, self.config.loss.pruned.range_labels)
        frame = num_nodes * (self._num_classes + width)
        # With stored logits, the sizes decide which tensors exist at the peak.
        times = 2.0 if self.stores_logits else 0.5
        enough = math.ceil(times * self.vocab_size * width / frame)
        return max(1, min(self.num_frames // 2, max(enough, least)))


def _counted(component: str, line: Line, module: nn.Module | None = None) -> Stage:
    sizes = [p.numel() * p.element_size() for p in module.parameters()] if module else []
    return Stage(component=component, line=line, parameters=float(sum(sizes)),
                 largest=float(max(sizes, default=0)))  # fmt: skip


def _leaf(num: int, num_frames: int, width: int) -> Tensor:
    """(N, T, D) in place of an encoder's output."""
    return torch.randn(num, num_frames, width, requires_grad=True)


def _full(num: int, length: int) -> Tensor:
    """(N,) equal lengths."""
    return torch.full((num,), length)
