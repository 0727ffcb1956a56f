"""Choose the vocabulary, the model and the training for a corpus.

    template_plan.py vocabulary RAW_TRAIN_CUTS     prints `bpe 250`, or `characters`
    template_plan.py training RAW_TRAIN_CUTS LANG_DIR [--steps N]     prints train.py's arguments

These are rules of thumb to start with: --vocab-size, --steps and train.py's own options override
them.
"""

from __future__ import annotations

import math
import re
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np

from icefall_sampled.cli import UserError, run_script
from icefall_sampled.data import read_cuts
from icefall_sampled.tokens import load_tokens
from local.train_bpe import read_transcripts, train

# Each size with the maximum hours of training speech for it.
VOCABULARIES = ((1, 100), (10, 250), (100, 500), (500, 1000), (float("inf"), 2000))
MODELS = ((2, "tiny"), (20, "small"), (200, "medium"), (float("inf"), "large"))
# Passes over the corpus with its slower and faster copies, and seconds in an optimizer step.
SPEEDS, PASSES = 3, {"tiny": 13, "small": 20, "medium": 20, "large": 20}
STEP_SECONDS = {"tiny": 20, "small": 40, "medium": 200, "large": 1200}
FEWEST_STEPS, MOST_STEPS = 2400, 250_000
# The tiny model begins with the short utterances: with all lengths, CTC emits nothing but blank for
# a long time (docs/log.md).
SHORT_SECONDS, SHORT_PERCENTILE, MOST_SHORT_EPOCHS = 2.0, 20, 50


def hours_of(cuts: Path) -> float:
    """Hours of speech in a manifest."""
    return float(sum(cut.duration for cut in read_cuts(cuts, argument="CUTS"))) / 3600


def first_fit(table: tuple[tuple[float, int | str], ...], hours: float) -> int | str:
    """The entry for this many hours."""
    return next(value for limit, value in table if hours <= limit)


def choose_vocabulary(cuts: Path) -> str:
    """Word pieces, as many as suit the hours and the text allows; or characters.

    Characters are chosen if they would be most of the pieces, as in Mandarin or Japanese.
    """
    size = int(first_fit(VOCABULARIES, hours_of(cuts)))
    lines = read_transcripts(read_cuts(cuts, argument="CUTS"))
    if len(set("".join(lines)) - {" "}) > 0.7 * size:
        return "characters"
    with tempfile.TemporaryDirectory() as folder:
        transcript = Path(folder) / "transcript.txt"
        transcript.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        try:
            train(transcript, Path(folder) / "bpe", vocab_size=size)
        except UserError as error:
            if largest := re.search(r"at most (\d+)", str(error)):
                return f"bpe {largest.group(1)}"
            raise
    return f"bpe {size}"


def short_first(cuts: Path, steps: int) -> list[float]:
    """The maximum utterance length of each of the first epochs, which take `steps` in total."""
    durations = [cut.duration for cut in read_cuts(cuts, argument="CUTS")]
    if not durations:
        raise UserError(f"CUTS is {cuts}, it must hold at least one cut")
    limit = max(SHORT_SECONDS, math.ceil(10 * np.percentile(durations, SHORT_PERCENTILE)) / 10)
    short = SPEEDS * sum(seconds for seconds in durations if seconds <= limit)
    epochs = math.ceil(steps * STEP_SECONDS["tiny"] / short)
    return [limit] * min(epochs, MOST_SHORT_EPOCHS)


def choose_training(cuts: Path, lang_dir: Path, steps: int) -> str:
    """The variant and the options of train.py for this amount of speech."""
    hours, vocab_size = hours_of(cuts), load_tokens(lang_dir).vocab_size
    model = str(first_fit(MODELS, hours))
    passes = round(hours * 3600 * SPEEDS * PASSES[model] / STEP_SECONDS[model])
    steps = steps or min(max(passes, FEWEST_STEPS), MOST_STEPS)
    # As in the paper, 300 of 2,000 pieces; a larger share of small vocabularies.
    classes = min(300, max(vocab_size // 5, 50), vocab_size)
    options: list[tuple[str, object]] = [
        ("--sampling.num-sampled", classes),
        ("--training.max-steps", steps),
        ("--training.checkpoint-every-steps", -(-steps // 10)),
        ("--optimizer.warmup-steps", -(-steps // 5)),
        ("--loss.ctc-only-steps", steps // 5 if model == "tiny" else steps // 6),
    ]
    if model == "tiny":
        limits = short_first(cuts, steps // 8)
        options.append(("--data.curriculum-seconds", " ".join(f"{s:g}" for s in limits)))
    return " ".join([model, *(f"{option} {value}" for option, value in options)])


def main(
    what: Literal["vocabulary", "training"],
    cuts: Path,
    lang_dir: Path | None = None,
    /,
    *,
    steps: int = 0,
) -> None:
    """Print the choices for a corpus.

    Args:
        what: the choice to print.
        cuts: the training cuts, without copies of other speeds.
        lang_dir: folder of the token table, for training.
        steps: optimizer steps; 0 chooses the number by the hours of speech.
    """
    if what == "vocabulary":
        print(choose_vocabulary(cuts))
    elif lang_dir is None:
        raise UserError("LANG_DIR is missing, training must know its vocabulary")
    else:
        print(choose_training(cuts, lang_dir, steps))


if __name__ == "__main__":
    run_script(main)
