"""Exported ONNX in sherpa-onnx says what decode.py says, on real speech.

The prompts are those of the asterisk recipe's own test sets. The model is small and knows only some
of them by heart: what matters is that both ways agree on whatever it makes of all.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lhotse import CutSet

from icefall_sampled import checkpoint
from icefall_sampled.decoding.decode import DecodeConfig, decode
from icefall_sampled.export.command import ExportConfig, export
from icefall_sampled.training import train
from tests.export.sherpa import recognize, recognizer
from tests.support.corpus import write_cuts
from tests.support.recipes import ASTERISK, asterisk_train, run
from tests.support.tiny import changed

RECIPE = ASTERISK.parent
DATA = RECIPE / "data"
FBANK = DATA / "fbank/asterisk_cuts_test-unseen.jsonl.gz"
SETS = {"test-unseen": 60, "test-announce": 12}
STEPS = 200


@pytest.fixture(scope="module")
def prompts() -> dict[str, CutSet]:
    """Real utterances with their audio alone; decode.py computes features of these itself."""
    raw = {name: DATA / f"manifests/asterisk_cuts_raw_{name}.jsonl.gz" for name in SETS}
    needed = [*raw.values(), FBANK, DATA / "lang_bpe_500/bpe.model"]
    if not all(path.is_file() for path in needed):  # not prepared, or not to the end
        done = subprocess.run(
            ["bash", str(RECIPE / "prepare.sh")], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    return {
        name: CutSet.from_cuts(list(CutSet.from_file(raw[name]))[:count])
        for name, count in SETS.items()
    }


@pytest.fixture(scope="module")
def trained(prompts: dict[str, CutSet], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of the recipe, small and short: its CTC head knows the short prompts.

    The transducer is made of that head, and the predictor has a small say in it.
    """
    base = replace(asterisk_train().base(), exp_dir=tmp_path_factory.mktemp("sherpa") / "exp")
    config = changed(
        base,
        data={"train_cuts": FBANK, "dev_cuts": FBANK, "num_workers": 0, "num_buckets": 2,
              "curriculum_seconds": (), "max_utterance_seconds": 2.0},
        encoder={"num_layers": 2, "width": 96, "subsampling_channels": 16,
                 "feedforward_width": 192},
        predictor={"kind": "stateless", "dropout": 0.0}, joiner={"width": 96},
        loss={"ctc_only_steps": STEPS - 1},
        optimizer={"learning_rate": 4e-3, "warmup_steps": 40},
        training={"max_steps": STEPS, "checkpoint_every_steps": STEPS, "threads": 1},
    )  # fmt: skip
    threads = torch.get_num_threads()
    train(config)
    torch.set_num_threads(threads)
    path = checkpoint.find(config.exp_dir)[-1]
    state = checkpoint.load(path)
    weights, small = state["model"], 0.1
    weights["joiner.encoder_projection.weight"].copy_(small * torch.eye(96))
    weights["joiner.encoder_projection.bias"].zero_()
    weights["joiner.predictor_projection.weight"].mul_(small)
    weights["joiner.output.weight"].copy_(weights["ctc.output.weight"] / small)
    weights["joiner.output.bias"].copy_(weights["ctc.output.bias"])
    checkpoint.save(path, state)
    yield config.exp_dir


def waves_of(cuts: CutSet) -> list[np.ndarray]:
    return [cut.load_audio()[0].astype(np.float32) for cut in cuts]


def hypotheses(path: Path) -> dict[str, str]:
    """The recognised text of each utterance of a recogs file."""
    rows = [line.partition(":\thyp=") for line in path.read_text().splitlines()]
    return {name: " ".join(ast.literal_eval(words)) for name, found, words in rows if found}


def test_the_text_is_that_of_decode_py(
    prompts: dict[str, CutSet], trained: Path, tmp_path: Path
) -> None:
    for name, cuts in prompts.items():
        write_cuts(tmp_path / f"data/fbank/asterisk_cuts_{name}.jsonl.gz", list(cuts))
    done = run(
        ASTERISK / "decode.py", "--exp-dir", trained, "--data-dir", tmp_path / "data",
        "--sets", *SETS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    exported = run(
        "-m", "icefall_sampled.export", "--exp-dir", trained, "--avg", "1",
        "--out", tmp_path / "out", "--format", "onnx",
    )  # fmt: skip
    assert exported.returncode == 0, exported.stderr
    runtime, texts = recognizer(tmp_path / "out"), []
    for name, cuts in prompts.items():
        expected = hypotheses(trained / f"greedy/recogs-{name}-greedy-avg-1.txt")
        found = recognize(runtime, waves_of(cuts), batch=7)
        texts += [" ".join(result.text.split()) for result in found]
        assert texts[-len(cuts) :] == [expected[cut.id] for cut in cuts]
    assert len(texts) >= 50
    assert sum(map(bool, texts)) > 0.75 * len(texts)
    assert len(set(texts)) > len(texts) / 3


@pytest.mark.parametrize(
    "settings",
    [{"max_symbols": 1}, {"ctc_top_k": 10}, {"blank_skip": 0.9}],
    ids=["one symbol", "constraint", "blank skip"],
)
def test_what_is_put_into_the_graphs_is_what_decode_py_does(
    settings: dict[str, Any], prompts: dict[str, CutSet], trained: Path, tmp_path: Path
) -> None:
    cuts, exp_dir = prompts["test-unseen"], tmp_path / "exp"
    manifest = write_cuts(tmp_path / "cuts.jsonl.gz", list(cuts))
    shutil.copytree(trained, exp_dir, ignore=shutil.ignore_patterns("greedy"))
    decode(DecodeConfig(exp_dir=exp_dir, avg=1, **settings), {"some": manifest})
    (path,) = exp_dir.glob("greedy/recogs-some-*.txt")
    expected = hypotheses(path)
    export(ExportConfig(exp_dir=exp_dir, avg=1, out=tmp_path / "out", format=("onnx",), **settings))
    found = recognize(recognizer(tmp_path / "out"), waves_of(cuts), batch=9)
    texts = [" ".join(result.text.split()) for result in found]
    assert texts == [expected[cut.id] for cut in cuts]
    assert sum(map(bool, texts)) > 0.75 * len(texts)
