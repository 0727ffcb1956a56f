"""Configurations: frozen dataclasses from which the command line is made (by tyro).

A recipe names its variants as values of `Config`; the resolved one is stored in every
checkpoint, so that decoding needs no architecture flags. Units are in the names.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from icefall_sampled.config.parts import (
    ConformerConfig,
    OptimizerConfig,
    PartConfig,
    PredictorConfig,
)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the cuts are and how they become batches."""

    train_cuts: Path = Path("data/fbank/cuts_train.jsonl.gz")
    """Lhotse cuts with features (or with audio: then features are computed on the fly)."""
    dev_cuts: Path = Path("data/fbank/cuts_dev.jsonl.gz")
    """Cuts for validation during training."""
    lang_dir: Path = Path("data/lang_bpe_500")
    """Folder with bpe.model, with word_tokens.txt for words, or with tokens.txt for characters."""
    max_duration_seconds: float = 200.0
    """Seconds of speech in one batch at the most, padding included."""
    max_utterance_seconds: float = 20.0
    """Longer utterances are not trained on."""
    min_utterance_seconds: float = 0.3
    """Shorter utterances are not trained on."""
    speed_perturbed: bool = True
    """Train on the speed-perturbed copies too, where the manifest has them."""
    noise_cuts: Path | None = None
    """Lhotse cuts of noise to mix into the training batches; none for clean speech."""
    noise_percent: float = 50.0
    """Share of the utterances that get noise."""
    noise_snr: tuple[float, float] = (10.0, 20.0)
    """The least and the greatest signal-to-noise ratio in dB."""
    num_buckets: int = 20
    """Buckets of similar duration that batches are drawn from."""
    curriculum_seconds: tuple[float, ...] = ()
    """Longest utterance in the first epochs, a figure for each; later epochs take all."""
    num_workers: int = 2
    """Processes that load batches, in each training process."""
    max_rejected_percent: float = 1.0
    """Stop when a larger share of the corpus than this cannot be used."""


@dataclass(frozen=True, kw_only=True)
class SpecAugmentConfig:
    """SpecAugment (Park et al. 2019) with the adaptive time masks of Conformer."""

    probability: float = 0.9
    """Share of utterances that are augmented; 0 turns SpecAugment off."""
    time_warp_frames: int = 80
    """Largest shift of a time warp; 0 for none."""
    num_feature_masks: int = 2
    """Masks over mel bins."""
    feature_mask_bins: int = 27
    """Width of a mel mask at the most."""
    num_frame_masks: int = 10
    """Masks over time."""
    frame_mask_frames: int = 100
    """Length of a time mask at the most."""
    max_masked_fraction: float = 0.5
    """Share of an utterance that all its time masks cover together at the most."""


@dataclass(frozen=True, kw_only=True)
class CtcConfig:
    """Auxiliary CTC losses (paper, Section 2.2). All heads share one output layer."""

    joint_weight: float = 0.3
    """Weight of joint CTC on the encoder's output; 0 for none."""
    intermediate_layers: tuple[int, ...] = ()
    """Blocks (counted from 1) after which Intermediate CTC is computed."""
    intermediate_weight: float = 0.3
    """Weight of the mean Intermediate CTC loss."""
    self_conditioning: bool = False
    """Feed the intermediate posteriors back into the encoder (SC-CTC)."""


@dataclass(frozen=True, kw_only=True)
class JoinerConfig:
    """The joint network: activation(encoder + predictor) times the output layer."""

    width: int = 640
    """Joiner width J."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Nonlinearity before the output layer."""


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Sampled softmax (paper, Section 3)."""

    strategy: Literal["none", "batch", "example"] = "example"
    """One set for the minibatch, one for each example, or the full softmax ("none")."""
    num_sampled: int = 300
    """K, classes in the softmax, positives included."""
    distribution: Literal["uniform", "ctc", "interctc"] = "ctc"
    """What negatives are drawn from: uniform, the posterior of joint CTC, or that of the last
    intermediate layer (Intermediate CTC, or SC-CTC with `ctc.self_conditioning`)."""


@dataclass(frozen=True, kw_only=True)
class PrunedLossConfig:
    """The pruned loss of k2; the defaults are icefall's."""

    range_labels: int = 5
    """Successive prefixes of the labels that each frame keeps."""
    simple_weight: float = 0.5
    """Weight of the simple loss, which finds the ranges."""
    lm_scale: float = 0.25
    """Share of the predictor alone in the simple loss."""
    am_scale: float = 0.0
    """Share of the encoder alone in the simple loss."""
    warmup_steps: int = 2000
    """First steps with a transducer loss, over which the weight of the simple loss goes from 1 to
    `simple_weight` and that of the pruned loss from 0.1 to 1."""


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The transducer loss."""

    kind: Literal["transducer", "pruned"] = "transducer"
    """By the softmax that `sampling` says, over the whole lattice; or k2's pruned loss."""
    pruned: PrunedLossConfig = field(default_factory=PrunedLossConfig)
    """Of the pruned loss, for which `implementation`, `min_occupancy` and `draft_negatives` have no
    meaning."""
    implementation: Literal["auto", "fused", "naive"] = "auto"
    """See `icefall_sampled.losses.transducer_loss`."""
    min_occupancy: float = 1e-5
    """Lattice nodes whose posterior is at most this are left out: of the whole loss, if there is a
    draft, else of backward alone."""
    draft_negatives: int = 32
    """Classes besides near labels in a draft pass that finds the nodes worth computing at all,
    taken from the mean CTC posterior; 0, or no CTC loss, means no draft."""
    label_dropout: float = 0.0
    """Share of the previous labels that training hides from the predictor, as blank."""
    ctc_only_steps: int = 0
    """First steps that train the CTC losses alone, a cheap start for the encoder."""

    @property
    def wants_draft(self) -> bool:
        """Whether there is to be a draft pass, where CTC gives what it needs."""
        drafts = self.kind == "transducer" and self.implementation != "naive"
        return drafts and self.draft_negatives > 0


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The training loop."""

    max_steps: int = 100_000
    """Optimizer steps in all."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the forward pass on a GPU (autocast); the lattice is summed in float64."""
    seed: int = 42
    """Seeds the weights, the order of the data, SpecAugment, dropout and sampling."""
    log_every_steps: int = 50
    """Steps between lines of TensorBoard."""
    checkpoint_every_steps: int = 1000
    """Steps between validations, each followed by a checkpoint."""
    keep_checkpoints: int = 5
    """Latest checkpoints that are kept, besides the best on dev."""
    threads: int = 0
    """CPU threads; 0 leaves the choice to torch."""
    init_from: Path | None = None
    """A trained model to start from: a checkpoint, a run's folder or an exported one; what fits is
    taken (see `icefall_sampled.training.init`)."""
    init_lang_dir: Path | None = None
    """Token table of that model; by default the one in its folder."""
    freeze: tuple[str, ...] = ()
    """Patterns of weights that are not trained, such as 'encoder.*'; they match whole names."""
    mean_every_steps: int = 0
    """Steps between the weights that enter their running mean, which `decode.py
    --use-averaged-model` takes; 0 for no mean."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides what a training run computes."""

    exp_dir: Path = Path("exp")
    """Checkpoints and TensorBoard go here; the same command again resumes from here."""
    data: DataConfig = field(default_factory=DataConfig)
    spec_augment: SpecAugmentConfig = field(default_factory=SpecAugmentConfig)
    encoder: PartConfig = field(default_factory=ConformerConfig)
    ctc: CtcConfig = field(default_factory=CtcConfig)
    predictor: PartConfig = field(default_factory=PredictorConfig)
    joiner: JoinerConfig = field(default_factory=JoinerConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def absolute(self) -> Config:
        """The same with absolute paths, which mean the same files from every folder."""
        data = replace(
            self.data,
            train_cuts=self.data.train_cuts.absolute(),
            dev_cuts=self.data.dev_cuts.absolute(),
            lang_dir=self.data.lang_dir.absolute(),
            noise_cuts=self.data.noise_cuts.absolute() if self.data.noise_cuts else None,
        )
        start, table = self.training.init_from, self.training.init_lang_dir
        training = replace(
            self.training,
            init_from=start.absolute() if start else None,
            init_lang_dir=table.absolute() if table else None,
        )
        return replace(self, exp_dir=self.exp_dir.absolute(), data=data, training=training)
