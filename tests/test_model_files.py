"""Models from the checkpoints of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from icefall_sampled import checkpoint
from icefall_sampled.checkpoint import CheckpointError
from icefall_sampled.config import Config, to_json
from icefall_sampled.model_files import load_averaged
from icefall_sampled.tokens import load_tokens
from tests.support.corpus import LETTERS, write_tokens
from tests.support.tiny import changed, tiny_config, tiny_model


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_that_holds_what_is_no_number_is_refused(tmp_path: Path, value: float) -> None:
    """A search in it would end late or never: of NaN, none is the best."""
    lang = write_tokens(tmp_path / "lang", LETTERS)
    tokens = load_tokens(lang)
    config: Config = changed(tiny_config(), data={"lang_dir": lang})
    model = tiny_model(config, vocab_size=tokens.vocab_size)
    state = {
        "config": to_json(config), "step": 1, "vocab_size": tokens.vocab_size, "factories": {},
        "tokens": tokens.fingerprint, "model": model.state_dict(),
    }  # fmt: skip
    checkpoint.save(tmp_path / checkpoint.BEST, state)
    assert load_averaged(tmp_path, avg=0)[1].vocab_size == tokens.vocab_size
    model.joiner.output.bias.data[3] = value
    checkpoint.save(tmp_path / checkpoint.BEST, state)
    with pytest.raises(CheckpointError, match=r"best.pt is of a run that diverged: joiner.output"):
        load_averaged(tmp_path, avg=0)
