"""The variants of a recipe, by the paper's names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from icefall_sampled.config import (
    Config,
    CtcConfig,
    LossConfig,
    PrunedLossConfig,
    SamplingConfig,
)


def softmaxes(num_sampled: int) -> dict[str, SamplingConfig]:
    """The softmaxes of the paper (Sections 3.1 and 3.2), by the name of the variant."""
    uniform = SamplingConfig(num_sampled=num_sampled, distribution="uniform")
    return {
        "full": SamplingConfig(strategy="none", distribution="uniform"),
        "batch_uniform": replace(uniform, strategy="batch"),
        "example_uniform": uniform,
        "example_ctc": replace(uniform, distribution="ctc"),
        "example_interctc": replace(uniform, distribution="interctc"),
    }


def auxiliaries(joint: CtcConfig, *, layers: tuple[int, ...]) -> dict[str, CtcConfig]:
    """The auxiliary losses of the paper (Section 2.2), by the suffix of a variant's name.

    Args:
        joint: joint CTC alone, which has the empty suffix.
        layers: blocks after which the intermediate losses are computed.
    """
    intermediate = replace(joint, intermediate_layers=layers)
    return {
        "": joint,
        "_interctc": intermediate,
        "_scctc": replace(intermediate, self_conditioning=True),
        "_noaux": CtcConfig(joint_weight=0.0),
    }


def with_auxiliary(config: Config, ctc: CtcConfig) -> Config:
    """The config with these auxiliary losses; without any, training does not start with CTC."""
    without = ctc.joint_weight == 0 and not ctc.intermediate_layers
    loss: LossConfig = replace(config.loss, ctc_only_steps=0) if without else config.loss
    return replace(config, ctc=ctc, loss=loss)


def crossed(
    base: Config, sampling: dict[str, SamplingConfig], ctc: dict[str, CtcConfig]
) -> dict[str, Config]:
    """Every softmax with every auxiliary loss that it can have, and `pruned` beside `full`.

    `example_interctc` and `example_scctc` draw their negatives from the posterior of the
    intermediate loss that they are named after; `example_ctc_scctc` from that of joint CTC.
    """
    named = {}
    for softmax in ("full", "batch_uniform", "example_uniform", "example_ctc"):
        for ending, auxiliary in ctc.items():
            if softmax == "example_ctc" and auxiliary.joint_weight == 0:
                continue  # there is no CTC posterior to sample from
            config = replace(base, sampling=sampling[softmax])
            named[softmax + ending] = with_auxiliary(config, auxiliary)
    for ending in ("_interctc", "_scctc"):
        config = replace(base, sampling=sampling["example_interctc"])
        named[f"example{ending}"] = with_auxiliary(config, ctc[ending])
    named["pruned"] = with_pruned_loss(named["full"])
    return named


def with_pruned_loss(full: Config) -> Config:
    """A variant with the full softmax, with k2's pruned loss in icefall's settings.

    In a short training the warm-up is shorter: a tenth of the steps with a transducer.
    """
    steps = full.training.max_steps - full.loss.ctc_only_steps
    pruned = PrunedLossConfig()
    pruned = replace(pruned, warmup_steps=min(pruned.warmup_steps, steps // 10))
    return replace(full, loss=replace(full.loss, kind="pruned", pruned=pruned))


def in_folders(variants: dict[str, Config], folder: Path) -> dict[str, Config]:
    """The variants, each with its own exp_dir."""
    return {name: replace(config, exp_dir=folder / name) for name, config in variants.items()}
