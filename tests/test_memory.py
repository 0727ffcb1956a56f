"""A line through small batches is within 10 % of what a larger one takes; the commands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from icefall_sampled import checkpoint, memory
from icefall_sampled.allocations import peak_allocated_mib
from icefall_sampled.config import Config, to_json
from icefall_sampled.losses import chunk_mib, set_chunk_mib
from icefall_sampled.memory import Steps, TooLong, advise
from icefall_sampled.modeling import Factories
from icefall_sampled.recipes.recipe import Utterance
from icefall_sampled.training.objective import Objective
from tests.support.corpus import VOCAB_SIZE, write_corpus
from tests.support.recipes import run
from tests.support.strided import StridedConfig, make_strided
from tests.support.tiny import changed, tiny_config

MEMORY = ("-m", "icefall_sampled.memory")
CPU = torch.device("cpu")
TOLERANCE = 0.10
FULL = {"strategy": "none", "distribution": "uniform"}
STORED = {"implementation": "naive"}
STRIDED = Factories(encoder=make_strided)


@pytest.fixture(autouse=True)
def _normal_numbers_alone() -> Iterator[None]:
    """As in training: denormal posteriors slow a CPU down tenfold."""
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)


@pytest.fixture
def _small_chunks() -> Iterator[None]:
    """A budget as small beside these models as the usual one is beside usual ones."""
    usual = chunk_mib()
    set_chunk_mib(0.25)
    yield
    set_chunk_mib(usual)


def small_config() -> Config:
    return changed(
        tiny_config(),
        encoder={"width": 64, "num_layers": 3, "feedforward_width": 128},
        predictor={"hidden_width": 64},
        joiner={"width": 64},
        sampling={"num_sampled": 50},
    )


def whole_step_mib(
    config: Config, utterance: Utterance, num: int, vocab_size: int, factories: Factories
) -> float:
    """Everything that two steps of training hold at once, the model and its batch included."""

    def train() -> None:
        objective = Objective(factories.model(config, vocab_size), config)
        optimizer = factories.optimizer(objective, config.optimizer)
        most = vocab_size if config.sampling.strategy == "none" else config.sampling.num_sampled
        batch = utterance.noise(num, num_classes=most)
        for _ in range(2):
            for _ in range(config.optimizer.accumulate):
                losses = objective(
                    batch.features, batch.lengths, batch.targets, batch.target_lengths
                )
                losses.total.backward()
            torch.nn.utils.clip_grad_norm_(objective.parameters(), config.optimizer.clip_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return peak_allocated_mib(train, CPU)


def error(
    config: Config,
    utterance: Utterance,
    num: int,
    *,
    vocab_size: int,
    factories: Factories = Factories(),  # noqa: B008
) -> float:
    """Predicted over measured, minus one. All is printed; pytest -s shows it."""
    line = Steps(config, vocab_size, factories).line(utterance)
    assert line.points[-1][0] < num, "this was measured, and not predicted"
    measured = whole_step_mib(config, utterance, num, vocab_size, factories)
    difference = line.at(num) / measured - 1
    print(f"\nN={num}: {measured:.1f} MiB, predicted {line.at(num):.1f} ({100 * difference:+.2f} %)"
          f" from {line}")  # fmt: skip
    return difference


VARIANTS: dict[str, dict[str, Any]] = {
    "sampled fused": {},
    "sampled stored": {"loss": STORED},
    "full fused": {"sampling": FULL},
    "full stored": {"sampling": FULL, "loss": STORED},
    "one set for the batch": {"sampling": {"strategy": "batch", "distribution": "uniform"}},
    "pruned": {"sampling": FULL, "loss": {"kind": "pruned"}},
    "no CTC": {"sampling": FULL, "ctc": {"joint_weight": 0.0}},
    "SC-CTC": {
        "ctc": {"intermediate_layers": (1, 2), "self_conditioning": True},
        "sampling": {"distribution": "interctc"},
    },
    "accumulated": {"optimizer": {"accumulate": 2}},
    "streaming": {"encoder": {"causal": True, "chunk_frames": (4,), "left_context_frames": 8}},
}


@pytest.mark.usefixtures("_small_chunks")
@pytest.mark.parametrize("name", VARIANTS)
def test_small(name: str) -> None:
    config = changed(small_config(), **VARIANTS[name])
    assert abs(error(config, Utterance(4.0, 20), 10, vocab_size=300)) < TOLERANCE


@pytest.mark.usefixtures("_small_chunks")
def test_an_encoder_that_is_not_ours() -> None:
    config = replace(small_config(), encoder=StridedConfig())
    found = error(config, Utterance(4.0, 20), 24, vocab_size=300, factories=STRIDED)
    assert abs(found) < TOLERANCE


@pytest.mark.usefixtures("_small_chunks")
def test_weights_that_outweigh_small_batches() -> None:
    """The peak of small batches is where the weights are updated: it does not grow with them."""
    config = changed(
        small_config(), predictor={"embedding_width": 256}, loss={"draft_negatives": 0}
    )
    line = Steps(config, 2000).line(Utterance(0.6, 3))
    (_, first), (_, second), *_ = line.points
    assert second - first < 0.5 * line.each
    measured = whole_step_mib(config, Utterance(0.6, 3), 96, 2000, Factories())
    assert line.at(96) == pytest.approx(measured, rel=TOLERANCE)


# The paper's sizes: Conformer-M, a predictor and a joiner of 640, V = 2,000, K = 300.
PAPER: dict[str, dict[str, Any]] = {
    "sampled fused": {},
    "sampled stored": {"loss": STORED},
    "full fused": {"sampling": FULL},
    "full stored": {"sampling": FULL, "loss": STORED},
    "SC-CTC": {"ctc": {"intermediate_layers": (5, 10), "self_conditioning": True}},
    "pruned": {"sampling": FULL, "loss": {"kind": "pruned"}},
    "no CTC": {"sampling": FULL, "ctc": {"joint_weight": 0.0}},
    "accumulated": {"optimizer": {"accumulate": 4}},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER)
def test_paper_size(name: str) -> None:
    config = changed(Config(), **PAPER[name])
    assert abs(error(config, Utterance(15.0, 55), 6, vocab_size=2000)) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sampled fused", "sampled stored"])
def test_paper_size_of_a_large_batch(name: str) -> None:
    config = changed(Config(), **PAPER[name])
    assert abs(error(config, Utterance(5.0, 20), 24, vocab_size=2000)) < TOLERANCE


@pytest.mark.usefixtures("_small_chunks")
def test_gradients_that_accumulate_are_there_before_a_step() -> None:
    once, twice = (
        Steps(changed(small_config(), optimizer={"accumulate": accumulate}), 300)
        for accumulate in (1, 2)
    )
    weights = sum(p.numel() for p in once.objective.parameters()) * 4 / 2**20
    first, second = (steps.line(Utterance(4.0, 20)) for steps in (once, twice))
    assert second.resident_mib - first.resident_mib == pytest.approx(weights)
    assert 0.99 * weights <= second.at(8) - first.at(8) <= 1.3 * weights


@pytest.mark.parametrize("utterance", [Utterance(0.05, 3), Utterance(4.0, 0)])
def test_what_is_no_utterance_is_refused(utterance: Utterance) -> None:
    with pytest.raises(ValueError, match=r"^utterance is "):
        Steps(small_config(), 300).line(utterance)


def test_logits_beyond_this_machine_are_not_computed() -> None:
    steps = Steps(changed(tiny_config(), sampling=FULL, loss=STORED), 100_000)
    with pytest.raises(TooLong, match=r"^logits of two utterances of 900 s need [0-9]+ MiB, and "):
        steps.line(Utterance(900.0, 5000))


PROGRAM = """
from dataclasses import replace
from pathlib import Path
from tests.support.strided import StridedConfig, make_strided
from tests.support.tiny import changed, tiny_config

def variants():
    base = tiny_config(Path({corpus!r}))
    none = {{"strategy": "none", "distribution": "uniform"}}
    # A wide joiner: in a model as small as this one, what is stored is less than a chunk.
    stored = changed(base, loss={{"implementation": "naive"}}, joiner={{"width": 256}})
    return {{"example_ctc": base, "stored": stored}}
"""
OWN_ENCODER = """
make_encoder = make_strided
ours = variants

def variants():
    return {name: replace(config, encoder=StridedConfig()) for name, config in ours().items()}
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), num_train=12, num_dev=2)


def write_recipe(folder: Path, corpus: Path, *more: str) -> Path:
    program = folder / "sampled_transducer/train.py"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(corpus=str(corpus)) + "".join(more))
    return folder


@pytest.mark.usefixtures("_small_chunks")
def test_says_what_fits_and_what_would_let_it_grow(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path, corpus)
    advise(str(recipe), "stored", ("example_ctc",), gpu_mib=60.0, reserve_mib=10.0)
    said = capsys.readouterr().out
    # seven letters of 0.12 s
    assert said.startswith(f"V {VOCAB_SIZE}, 0.84 s and 7 labels an utterance, float32 on cpu\n")
    rows = [line.split("|")[1:-1] for line in said.splitlines() if line.startswith("| ")][2:]
    names = ["stored", "stored, fused", "example_ctc", "example_ctc, logits stored"]
    assert [row[0].strip() for row in rows] == names
    stored, fused = float(rows[0][-1]), float(rows[2][-1])
    assert 0.84 <= stored < fused
    assert f"of stored in 50 of 60 MiB is {stored:.1f}: " in said
    best = max(float(row[-1]) for row in rows)
    assert f" would let it grow to {best:.1f}, by " in said


@pytest.mark.usefixtures("_small_chunks")
def test_a_recipe_with_an_encoder_of_its_own(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path, corpus, OWN_ENCODER)
    advise(str(recipe), "stored", gpu_mib=60.0, reserve_mib=10.0)
    assert "The largest max_duration_seconds of stored in 50 of 60 MiB" in capsys.readouterr().out


@pytest.mark.usefixtures("_small_chunks")
def test_says_when_not_even_one_utterance_fits(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    advise(str(write_recipe(tmp_path, corpus)), "example_ctc", gpu_mib=10.1, reserve_mib=10.0)
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("Not even one utterance of 0.84 s fits: a step of example_ctc needs ")
    assert last.endswith(" Nothing else in the table would let it grow.")


@pytest.mark.usefixtures("_small_chunks")
def test_without_a_corpus_the_vocabulary_must_be_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = str(write_recipe(tmp_path, tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"^data\.lang_dir is .*; or give --vocab-size$"):
        advise(recipe, "stored", gpu_mib=2000.0)
    advise(recipe, "stored", gpu_mib=2000.0, vocab_size=30)
    said = capsys.readouterr().out
    # data.max_utterance_seconds is 2; at LibriSpeech's 7.06 labels a second these are 15.
    assert said.startswith("V 30, 2 s and 15 labels an utterance, ")
    assert "labels: those of LibriSpeech, for there is no corpus yet" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"gpu_mib": 0.0}, "gpu_mib is 0.0 and reserve_mib 1024.0, they must be "),
        ({"gpu_mib": float("nan")}, "gpu_mib is nan and "),
        ({"reserve_mib": -1.0}, "gpu_mib is 4096.0 and reserve_mib -1.0, "),
        ({"utterance_seconds": 0.0}, "utterance_seconds is 0.0, it must be at least 0.1"),
        ({"labels_per_second": -1.0}, "labels_per_second is -1.0, it must be at least 0"),
        ({"vocab_size": 1}, "vocab_size is 1, it must be at least 3"),
    ],
)
def test_figures_out_of_range(arguments: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    recipe = str(write_recipe(tmp_path, tmp_path))
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        advise(recipe, "stored", **{"gpu_mib": 4096.0, "vocab_size": 30, **arguments})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nonesuch", "full", "--gpu-mib", "4096"), "recipe is 'nonesuch', it must be a folder "),
        (("asterisk", "nonesuch", "--gpu-mib", "24576"),
         "variant is 'nonesuch', it must be one of full, "),
        (("asterisk", "full"), "--gpu-mib FLOAT"),
        (("measure", "--exp-dir", "nonesuch"), "exp_dir is nonesuch, there is no checkpoint in it"),
    ],
)  # fmt: skip
def test_errors_are_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    done = run(*MEMORY, *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr


@pytest.mark.parametrize("kind", ["transducer", "pruned"])
def test_measure_compares_the_losses_on_the_longest_utterances(
    kind: str, corpus: Path, tmp_path: Path
) -> None:
    config = changed(tiny_config(corpus, tmp_path), joiner={"width": 256}, loss={"kind": kind})
    if kind == "pruned":
        config = changed(config, sampling=FULL)
    state = {"config": to_json(config), "factories": Factories().names(), "model": {}, "step": 1}
    checkpoint.save(checkpoint.path_of(tmp_path, 1), state)
    done = run(*MEMORY, "measure", "--exp-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "memory.json").read_text())
    rows = ["full, stored", "sampled, stored", "full, fused", "sampled, fused"]
    if kind == "pruned":
        rows = ["full, pruned", "full, stored", "full, fused"]
    assert list(written) == rows
    assert written["full, fused"] < written["full, stored"]
    assert done.stdout.count(" MiB at the peak of a training step: ") == len(rows)
    assert "STAGE" not in done.stderr  # what the profiler writes


def test_measure_takes_the_encoder_of_the_run(corpus: Path, tmp_path: Path) -> None:
    config = replace(tiny_config(corpus, tmp_path), encoder=StridedConfig())
    state = {"config": to_json(config), "factories": STRIDED.names(), "model": {}, "step": 1}
    checkpoint.save(checkpoint.path_of(tmp_path, 1), state)
    with pytest.raises(ValueError, match="--model-code FILE"):
        memory.measure(exp_dir=tmp_path)
    memory.measure(exp_dir=tmp_path, model_code=Path(make_strided.__code__.co_filename))
    assert (tmp_path / "memory.json").is_file()
