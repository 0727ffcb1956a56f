"""Overfit a small model on the training set of a miniature, with the whole recipe."""

from __future__ import annotations

from pathlib import Path

from icefall_sampled.data import is_speed_perturbed
from icefall_sampled.decoding.decode import DecodeConfig, decode
from tests.support.character_recipes import BY_HEART, cuts_of, recipe
from tests.support.corpus import write_cuts
from tests.support.recipes import run


def character_error_percent(corpus: str, prepared: Path) -> float:
    """Train `example_ctc_500` as a user would; return its error rate on the training set."""
    originals = [c for c in cuts_of(prepared, corpus, "train") if not is_speed_perturbed(c.id)]
    cuts = write_cuts(prepared / "by_heart.jsonl.gz", originals)
    exp_dir = prepared / "exp/by_heart"
    done = run(
        recipe(corpus) / "sampled_transducer/train.py", "example_ctc_500", *BY_HEART,
        "--exp-dir", exp_dir, "--data.train-cuts", cuts, "--data.dev-cuts", cuts,
        "--data.lang-dir", prepared / "data/lang_char", timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    scores = decode(DecodeConfig(exp_dir=exp_dir, avg=1, ctc_top_k=100), {"train": cuts})
    return scores["train"].characters.percent
