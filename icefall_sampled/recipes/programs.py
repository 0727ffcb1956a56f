"""The programs of a recipe: train.py ends with `run_training`, decode.py with `run_decoding`.

Only what a command line needs is imported at once: `--help` waits for neither lhotse nor k2.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from icefall_sampled import cli
from icefall_sampled.config import Config, DecodeConfig


def run_training(variants: dict[str, Config], *, base: Config, description: str | None) -> NoReturn:
    """The program `train.py VARIANT --field value …`; `description` is the recipe's docstring."""

    def main() -> None:
        config = cli.choose_variant(variants, base=base, description=description or "")
        from icefall_sampled.training import train

        train(config)

    cli.run(main)


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
        from icefall_sampled.decoding.decode import decode

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
