"""Code shared by the recipes' programs: variants by the paper's names, and how to run them.

A recipe's train.py defines what is special about it in `base` and `variants`, and ends with
`run_training`; its decode.py names the sets, and ends with `run_decoding`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from icefall_sampled import cli
from icefall_sampled.config import (
    Config,
    CtcConfig,
    LossConfig,
    PrunedLossConfig,
    SamplingConfig,
)
from icefall_sampled.decoding.program import DecodeConfig, decode
from icefall_sampled.training import train


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


def run_training(variants: dict[str, Config], *, base: Config, description: str | None) -> NoReturn:
    """The program `train.py VARIANT --field value …`; `description` is the recipe's docstring."""
    cli.run(lambda: train(cli.choose_variant(variants, base=base, description=description or "")))


@dataclass(frozen=True, kw_only=True)
class RecipeDecodeConfig(DecodeConfig):
    """What to decode, and how."""

    data_dir: Path = Path("data")
    """Folder of the data from prepare.sh."""


def run_decoding(
    default: RecipeDecodeConfig,
    *,
    corpus: str,
    sets: tuple[str, ...],
    optional_sets: tuple[str, ...] = (),
    description: str | None,
) -> NoReturn:
    """The program `decode.py --field value …`: one line for each set of the recipe.

    Args:
        default: the recipe's own defaults.
        corpus: prefix of the names of its manifests.
        sets: its test sets.
        optional_sets: sets that prepare.sh makes only with an option.
        description: the recipe's docstring.
    """

    def main() -> None:
        config = cli.parse(default, description=description or "")
        manifests = {
            name: path
            for name in (*sets, *optional_sets)
            if (path := config.data_dir / f"fbank/{corpus}_cuts_{name}.jsonl.gz").is_file()
            or name not in optional_sets
        }
        for name, score in decode(config, manifests).items():
            print(
                f"{name}\tWER {score.words.percent:.2f}\tCER {score.characters.percent:.2f}"
                f"\treal-time factor {score.real_time_factor:.4f}"
            )

    cli.run(main)
