"""Validation: whose losses and whose errors are measured, and in which units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import CutSet

from icefall_sampled.data.rejects import Rejects
from icefall_sampled.modeling import Factories
from icefall_sampled.optimizer import make_adamw
from icefall_sampled.parallel import World
from icefall_sampled.tokens import load_tokens
from icefall_sampled.training import train
from icefall_sampled.training.objective import Objective
from icefall_sampled.training.run import Run
from icefall_sampled.training.validation import validate
from tests.support.corpus import beeps, make_cut, make_cuts
from tests.support.tiny import changed, plain, tiny_config


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that has learned some letters: about a third of the characters are right."""
    config = changed(
        plain(tiny_config(corpus, tmp_path_factory.mktemp("exp"))),
        data={"max_duration_seconds": 20.0},
        optimizer={"warmup_steps": 20},
        training={"max_steps": 90, "checkpoint_every_steps": 90},
    )
    train(config)
    tokens = load_tokens(config.data.lang_dir)
    objective = Objective(Factories().model(config, tokens.vocab_size), config)
    here = World(0, 1, torch.device("cpu"))
    run = Run(config, objective, make_adamw(objective, config.optimizer), tokens, here)
    run.resume()
    return run


def cuts_with(folder: Path, *texts: str, known: int = 6) -> CutSet:
    """Some utterances of known letters, and one of each of these texts."""
    random = np.random.RandomState(5)
    more = [
        make_cut(folder, f"more-{i}", beeps(text, random), text) for i, text in enumerate(texts)
    ]
    return CutSet.from_cuts([*make_cuts(folder, "dev", known, seed=2), *more])


def errors(measured: dict[str, float], cuts: CutSet) -> float:
    """Errors in characters."""
    texts = (cut.supervisions[0].text for cut in cuts)
    return measured["cer_percent"] / 100 * sum(len("".join(text.split())) for text in texts)


def test_the_unknown_is_an_error_and_has_no_loss(trained: Run, tmp_path: Path) -> None:
    without, one_more = cuts_with(tmp_path), cuts_with(tmp_path, "zzz")
    expected = validate(trained, without, Rejects(6))
    measured = validate(trained, one_more, Rejects(7))
    assert expected["cer_percent"] < 90
    for name in ("transducer", "ctc", "total", "loss"):
        assert measured[name] == pytest.approx(expected[name], rel=1e-5)
    assert errors(measured, one_more) >= errors(expected, without) + 3 - 1e-6


def test_a_dev_set_of_unknowns_has_errors_alone(trained: Run, tmp_path: Path) -> None:
    measured = validate(trained, cuts_with(tmp_path, "zyz", "yy", known=0), Rejects(2))
    assert measured["cer_percent"] >= 100
    assert set(measured) == {"cer_percent", "loss"}
    assert measured["loss"] == float("inf")


def test_words_are_counted_where_texts_have_some(trained: Run, tmp_path: Path) -> None:
    with_spaces = validate(trained, cuts_with(tmp_path, "ab cd", known=0), Rejects(1))
    without = validate(trained, cuts_with(tmp_path, "abcd", known=0), Rejects(1))
    assert "wer_percent" in with_spaces
    assert "wer_percent" not in without
    assert with_spaces["cer_percent"] == without["cer_percent"]
