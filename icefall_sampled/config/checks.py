"""What must hold of a configuration's fields before anything is computed with them."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

from icefall_sampled.config.fields import Config
from icefall_sampled.config.parts import Rule
from icefall_sampled.errors import UserError


def check(config: Config) -> None:
    """Raise ValueError for the first field, or pair of fields, that cannot work."""
    for name, value, legal, rule in _rules(config):
        if not legal:
            raise UserError(f"{name} is {value}, it must be {rule}")


def _rules(config: Config) -> list[Rule]:
    """All of them, in the order in which they are checked."""
    ctc, sampling, layers = config.ctc, config.sampling, config.ctc.intermediate_layers
    drawn_from = sampling.distribution if sampling.strategy != "none" else "nothing"
    return [
        *_ranges(config),
        *_of_parts(config),
        *_pruned(config),
        ("sampling.num_sampled", sampling.num_sampled, sampling.num_sampled >= 2, "at least 2"),
        ("ctc.intermediate_layers", layers, all(layer >= 1 for layer in layers),
         "numbers of blocks, counted from 1"),
        ("ctc.self_conditioning", ctc.self_conditioning,
         bool(layers) or not ctc.self_conditioning, "false: ctc.intermediate_layers is empty"),
        ("sampling.distribution", sampling.distribution,
         drawn_from != "ctc" or ctc.joint_weight > 0, "another: ctc.joint_weight is 0"),
        ("sampling.distribution", sampling.distribution,
         drawn_from != "interctc" or bool(layers), "another: ctc.intermediate_layers is empty"),
        ("loss.ctc_only_steps", config.loss.ctc_only_steps,
         config.loss.ctc_only_steps <= 0 or ctc.joint_weight > 0 or bool(layers),
         "0 where there is no CTC loss"),
        ("data.max_duration_seconds", config.data.max_duration_seconds,
         config.data.max_duration_seconds >= config.data.max_utterance_seconds,
         f"at least data.max_utterance_seconds ({config.data.max_utterance_seconds})"),
        ("data.noise_snr", config.data.noise_snr,
         config.data.noise_snr[0] <= config.data.noise_snr[1], "two ratios, the lower one first"),
        ("optimizer.betas", config.optimizer.betas,
         all(0 <= beta < 1 for beta in config.optimizer.betas), "two numbers from 0 to below 1"),
        ("loss.ctc_only_steps", config.loss.ctc_only_steps,
         config.loss.ctc_only_steps < config.training.max_steps,
         f"below training.max_steps ({config.training.max_steps})"),
    ]  # fmt: skip


def _of_parts(config: Config) -> list[Rule]:
    """The rules that the parts bring."""
    return [
        (f"{part}.{name}", value, legal, rule)
        for part in ("encoder", "predictor", "optimizer")
        for name, value, legal, rule in getattr(config, part).rules()
    ]


def _pruned(config: Config) -> list[Rule]:
    """The rules of k2's pruned loss."""
    loss = config.loss.pruned
    both, full = loss.lm_scale + loss.am_scale, config.sampling.strategy == "none"
    return [
        ("sampling.strategy", config.sampling.strategy, config.loss.kind != "pruned" or full,
         "none: loss.kind is pruned"),
        ("loss.pruned.range_labels", loss.range_labels, loss.range_labels >= 2, "at least 2"),
        ("loss.pruned.lm_scale + loss.pruned.am_scale", both, both < 1, "below 1"),
    ]  # fmt: skip


def _ranges(config: Config) -> list[Rule]:
    """The rules that look at one number alone."""
    return [
        (name, value, holds(value), rule)
        for rule, holds, names in _RANGES
        for name in names.split()
        for value in [attrgetter(name)(config)]
    ]


_RANGES: tuple[tuple[str, Callable[[float], bool], str], ...] = (
    ("at least 0", lambda x: x >= 0,
     "ctc.joint_weight ctc.intermediate_weight data.num_workers training.threads "
     "training.mean_every_steps "
     "loss.draft_negatives loss.ctc_only_steps loss.pruned.simple_weight "
     "loss.pruned.lm_scale loss.pruned.am_scale loss.pruned.warmup_steps "
     "spec_augment.time_warp_frames "
     "spec_augment.num_feature_masks spec_augment.num_frame_masks"),
    ("from 0 to 1", lambda x: 0 <= x <= 1,
     "spec_augment.probability spec_augment.max_masked_fraction"),
    ("from 0 to 100", lambda x: 0 <= x <= 100, "data.max_rejected_percent data.noise_percent"),
    ("at least 0 and below 1", lambda x: 0 <= x < 1,
     "loss.label_dropout loss.min_occupancy"),
    ("positive", lambda x: x > 0,
     "joiner.width spec_augment.feature_mask_bins spec_augment.frame_mask_frames "
     "data.num_buckets training.max_steps training.log_every_steps "
     "training.checkpoint_every_steps training.keep_checkpoints"),
)  # fmt: skip
