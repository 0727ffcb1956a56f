"""The programs of a recipe: train.py ends with `run_training`, decode.py with `run_decoding`.

Only what a command line needs is imported at once: `--help` waits for neither lhotse nor k2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from icefall_sampled import cli
from icefall_sampled.config import Config, DecodeConfig

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from icefall_sampled.modeling import Encoder, Predictor


def run_training(
    variants: dict[str, Config],
    *,
    base: Config,
    description: str | None,
    make_encoder: Callable[[Any], Encoder] | None = None,
    make_predictor: Callable[[Any, int], Predictor] | None = None,
    make_optimizer: Callable[[nn.Module, Any], Optimizer] | None = None,
) -> NoReturn:
    """The program `train.py VARIANT --field value …`.

    Args:
        variants: configs by name.
        base: the config that `--help` compares each variant with.
        description: the recipe's docstring.
        make_encoder: the recipe's own encoder, from `config.encoder` (docs/encoders.md).
        make_predictor: its own predictor, from `config.predictor` and the number of classes.
        make_optimizer: its own optimizer, from what is trained and `config.optimizer`.
    """

    def main() -> None:
        config = cli.choose_variant(variants, base=base, description=description or "")
        from icefall_sampled.modeling import Factories
        from icefall_sampled.training import train

        train(config, factories=Factories(**_given(make_encoder, make_predictor, make_optimizer)))

    cli.run(main)


def _given(*functions: Callable[..., Any] | None) -> dict[str, Callable[..., Any]]:
    """The factories that a recipe brings, by their parts."""
    parts = zip(("encoder", "predictor", "optimizer"), functions, strict=True)
    return {part: function for part, function in parts if function is not None}


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
    make_encoder: Callable[[Any], Encoder] | None = None,
    make_predictor: Callable[[Any, int], Predictor] | None = None,
    make_optimizer: Callable[[nn.Module, Any], Optimizer] | None = None,
) -> NoReturn:
    """The program `decode.py --field value …`: one line for each set of the recipe.

    Args:
        default: the recipe's own defaults.
        corpus: prefix of the names of its manifests.
        sets: its test sets.
        optional_sets: sets that prepare.sh makes only with an option.
        description: the recipe's docstring.
        make_encoder: those that train.py has of its own.
        make_predictor: likewise.
        make_optimizer: likewise.
    """
    made_by = _given(make_encoder, make_predictor, make_optimizer)

    def main() -> None:
        config = cli.parse(default, description=description or "")
        from icefall_sampled.decoding.decode import decode

        manifests = {
            name: path
            for name in (*sets, *optional_sets)
            if (path := config.data_dir / f"fbank/{corpus}_cuts_{name}.jsonl.gz").is_file()
            or name not in optional_sets
        }
        for name, score in decode(config, manifests, made_by=made_by).items():
            print(
                f"{name}\tWER {score.words.percent:.2f}\tCER {score.characters.percent:.2f}"
                f"\treal-time factor {score.real_time_factor:.4f}"
            )

    cli.run(main)
