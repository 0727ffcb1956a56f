"""`python -m icefall_sampled.memory` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from icefall_sampled import checkpoint
from icefall_sampled.config import to_json
from icefall_sampled.memory.advise import main
from tests.support.corpus import VOCAB_SIZE, write_corpus
from tests.support.recipes import run
from tests.support.tiny import changed, tiny_config, tiny_model

MEMORY = ("-m", "icefall_sampled.memory")
PROGRAM = """
from tests.support.tiny import changed, tiny_config
from pathlib import Path

def variants():
    base = tiny_config(Path({corpus!r}))
    none = {{"strategy": "none", "distribution": "uniform"}}
    # A wide joiner: in a model as small as this one, what is stored is less than a chunk.
    stored = changed(base, loss={{"implementation": "naive"}}, joiner={{"width": 256}})
    return {{"example_ctc": base, "stored": stored,
            "elsewhere": changed(base, data={{"num_buckets": 3}})}}
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    corpus = write_corpus(folder / "corpus", num_train=12, num_dev=2)
    (folder / "sampled_transducer").mkdir()
    program = folder / "sampled_transducer/train.py"
    program.write_text(PROGRAM.format(corpus=str(corpus)))
    return folder


def test_says_what_fits_and_which_variant_lets_it_grow(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "figures.json"
    main(str(recipe), "stored", gpu_mib=60.0, reserve_mib=10.0, json_file=figures)
    said = capsys.readouterr().out
    found = json.loads(figures.read_text())
    assert found["vocab_size"] == VOCAB_SIZE
    assert found["utterance_seconds"] == pytest.approx(0.84)  # seven letters of 0.12 s
    stored, fused = (found["variants"][name] for name in ("stored", "example_ctc"))
    assert stored["max_duration_seconds"] < fused["max_duration_seconds"]
    assert sum(stored["mib_at_the_peak"].values()) <= 50.0
    assert "elsewhere" not in found["variants"]  # another data config, another corpus
    for component in ("parameters", "optimizer", "encoder", "predictor", "CTC", "joiner and loss"):
        assert f"\n{component} " in said
    best = fused["max_duration_seconds"]
    assert f"example_ctc would let it grow to {best:.1f}, by " in said
    assert f"of stored in 50 of 60 MiB is {stored['max_duration_seconds']:.1f}: " in said


def test_says_when_not_even_one_utterance_fits(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(str(recipe), "stored", gpu_mib=10.1, reserve_mib=10.0)
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("Not even one utterance of 0.84 s fits: a step of stored needs ")
    assert last.endswith("Nor does any other variant fit.")


def test_without_a_corpus_the_vocabulary_must_be_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sampled_transducer").mkdir()
    program = tmp_path / "sampled_transducer/train.py"
    program.write_text(PROGRAM.format(corpus=str(tmp_path / "nowhere")))
    with pytest.raises(ValueError, match=r"^data\.lang_dir is .*; or give --vocab-size$"):
        main(str(tmp_path), "stored", gpu_mib=2000.0)
    main(str(tmp_path), "stored", gpu_mib=2000.0, vocab_size=30)
    said = capsys.readouterr().out
    # data.max_utterance_seconds is 2; at LibriSpeech's 7.06 labels a second these are 15.
    assert said.startswith("stored: V 30, 2 s an utterance, T 49 encoder frames, U 15 labels\n")
    assert "labels: those of LibriSpeech, for there is no corpus yet" in said


def test_the_asterisk_recipe_is_found_by_its_name() -> None:
    done = run(*MEMORY, "asterisk", "nonesuch", "--gpu-mib", "24576")
    assert done.returncode == 2
    assert done.stderr.startswith("error: variant is 'nonesuch', it must be one of full, ")
    assert "example_ctc" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nonesuch", "full", "--gpu-mib", "4096"), "recipe is 'nonesuch', it must be a folder "),
        (("asterisk", "full", "--gpu-mib", "0"), "gpu_mib is 0.0, it must be above reserve_mib "),
        (("asterisk", "full", "--gpu-mib", "nan"), "gpu_mib is nan, it must be above "),
        (("asterisk", "full"), "--gpu-mib FLOAT"),
        (("asterisk", "full", "--gpu-mib", "4096", "--utterance-seconds", "0"),
         "utterance_seconds is 0.0, it must be at least 0.1"),
        (("asterisk", "full", "--gpu-mib", "4096", "--vocab-size", "1"),
         "vocab_size is 1, it must be at least 3"),
        (("measure", "--exp-dir", "nonesuch"), "exp_dir is nonesuch, there is no checkpoint in it"),
    ],
)  # fmt: skip
def test_errors_are_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    done = run(*MEMORY, *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr


@pytest.mark.parametrize("kind", ["transducer", "pruned"])
def test_measure_compares_the_losses_on_the_longest_utterances(kind: str, tmp_path: Path) -> None:
    config = tiny_config(write_corpus(tmp_path / "corpus", num_train=12), tmp_path)
    config = changed(config, joiner={"width": 256}, loss={"kind": kind})
    if kind == "pruned":
        config = changed(config, sampling={"strategy": "none"})
    model = tiny_model(config, vocab_size=VOCAB_SIZE)
    state = {"model": model.state_dict(), "config": to_json(config), "vocab_size": VOCAB_SIZE,
             "step": 1}  # fmt: skip
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
