"""LibriSpeech end to end on a miniature in its exact layout, and the configurations of Table 1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lhotse import CutSet

from icefall_sampled import checkpoint
from icefall_sampled.config import DataConfig, check
from icefall_sampled.data import is_speed_perturbed
from icefall_sampled.data.loading import epoch_batches
from icefall_sampled.decoding.decode import DecodeConfig, decode
from icefall_sampled.modeling import Factories
from icefall_sampled.recipes.results import read_table
from icefall_sampled.tokens import load_tokens
from tests.replicas import librispeech, musan
from tests.support.recipes import ROOT, environment, load, run

RECIPE = ROOT / "egs/librispeech/ASR"
SETS = ("train", "dev-clean", "dev-other", "test-clean", "test-other")
SMALL = (
    "--encoder.subsampling-channels 4 --encoder.num-layers 9 --encoder.width 16 "
    "--encoder.num-heads 2 --encoder.feedforward-width 32 --encoder.kernel-frames 3 "
    "--predictor.embedding-width 8 --predictor.hidden-width 16 --joiner.width 16 "
    "--data.num-workers 0 --data.num-buckets 2 --data.max-duration-seconds 20 "
    "--optimizer.accumulate 1 --optimizer.warmup-steps 10 --training.max-steps 24 "
    "--training.checkpoint-every-steps 12 --training.log-every-steps 8"
)
# With these a model learns the miniature's training set by heart.
BY_HEART = [
    "--encoder.subsampling-channels", "32", "--encoder.num-layers", "3", "--encoder.width", "96",
    "--encoder.feedforward-width", "192", "--encoder.kernel-frames", "15", "--encoder.dropout", "0",
    "--ctc.intermediate-layers", "2", "--predictor.embedding-width", "64",
    "--predictor.hidden-width", "128", "--predictor.dropout", "0", "--joiner.width", "128",
    "--spec-augment.probability", "0", "--data.no-speed-perturbed", "--data.num-workers", "0",
    "--data.num-buckets", "4", "--data.max-duration-seconds", "20", "--sampling.num-sampled", "70",
    "--loss.ctc-only-steps", "300", "--optimizer.accumulate", "1", "--optimizer.learning-rate",
    "2e-3", "--optimizer.schedule", "cosine", "--optimizer.warmup-steps", "100",
    "--training.max-steps", "900", "--training.checkpoint-every-steps", "300",
]  # fmt: skip
ROWS = ("full_2000", "example_scctc_300of2000")


def bash(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", str(RECIPE / script), *map(str, arguments)],
        env={**environment(), "PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the miniature, and in `data` what prepare.sh made of all of it."""
    folder = tmp_path_factory.mktemp("librispeech")
    librispeech.make(folder)
    done = bash("prepare.sh", *prepare_flags(folder))
    assert done.returncode == 0, done.stderr
    return folder


def prepare_flags(folder: Path) -> list[str]:
    return ["--download-dir", str(folder), "--data-dir", str(folder / "data"),
            "--vocab-size", "80 60", "--num-jobs", "1"]  # fmt: skip


def cuts_of(folder: Path, name: str) -> list:
    return list(CutSet.from_file(folder / f"fbank/librispeech_cuts_{name}.jsonl.gz"))


def test_all_stages(prepared: Path) -> None:
    plan = librispeech.plan_utterances(60, seed=0)
    ids = {name: [cut.id for cut in cuts_of(prepared / "data", name)] for name in SETS}
    for name in SETS[1:]:
        assert set(ids[name]) == {u.utterance_id for u in plan if u.part == name}
    train = {u.utterance_id for u in plan if u.part.startswith("train")}
    assert len(train) == 48
    assert set(ids["train"]) == {i + speed for i in train for speed in ("", "_sp0.9", "_sp1.1")}
    texts = {u.utterance_id: u.text for u in plan}
    for cut in cuts_of(prepared / "data", "test-other"):
        assert cut.supervisions[0].text == texts[cut.id]
    assert (prepared / "data/lang_bpe_60/bpe.model").is_file()
    statistics = json.loads((prepared / "data/statistics.json").read_text())
    assert len(statistics) == len(SETS)
    again = bash("prepare.sh", *prepare_flags(prepared), "--stage", "1")
    assert again.returncode == 0
    stages = [line for line in again.stderr.splitlines() if " stage " in line]
    assert len(stages) == 14
    assert all("done already" in line for line in stages), stages


def test_two_rows_from_training_to_results(prepared: Path) -> None:
    data = prepared / "data"
    train = (
        f"{SMALL} --data.train-cuts {data}/fbank/librispeech_cuts_train.jsonl.gz "
        f"--data.dev-cuts {data}/fbank/librispeech_cuts_dev-clean.jsonl.gz "
        f"--data.lang-dir {data}/lang_bpe_80 --sampling.num-sampled 60"
    )
    flags = ["--exp-root", prepared / "exp", "--output", prepared / "RESULTS.md", "--train", train,
             "--decode", f"--data-dir {data}"]  # fmt: skip
    done = bash("run_table.sh", *ROWS, *flags)
    assert done.returncode == 0, done.stderr
    text = (prepared / "RESULTS.md").read_text()
    rows = {cells[4]: cells for cells in table_rows(text)}
    for variant in ROWS:
        averaged = len(checkpoint.find(prepared / "exp" / variant))  # ten are asked for
        assert rows[variant][5:7] == ["24", f"beam-avg-{averaged}-beam-10"]
        for number, name in enumerate(SETS[1:]):
            summary = next(
                (prepared / "exp" / variant / "beam").glob(f"wer-summary-{name}-*")
            ).read_text()
            assert rows[variant][8 + 2 * number] == summary.split()[-1]
        assert f"`{variant}` was trained with `--encoder" in text
        memory = json.loads((prepared / "exp" / variant / "memory.json").read_text())
        assert ("sampled, fused" in memory) == (variant != "full_2000")
    assert rows["full_600"][5:9] == ["-", "-", "2.70", "not run"]
    assert (prepared / "memory_wer.png").read_bytes().startswith(b"\x89PNG")

    again = bash("run_table.sh", *ROWS, *flags)
    assert again.returncode == 0
    assert again.stderr.count("done already") == 3 * len(ROWS)
    assert table_rows((prepared / "RESULTS.md").read_text()) == table_rows(text)


def table_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.slow
def test_a_small_model_learns_the_training_set_by_heart(prepared: Path) -> None:
    cuts = prepared / "data/fbank/librispeech_cuts_train.jsonl.gz"
    done = run(
        RECIPE / "sampled_transducer/train.py", "example_scctc_300of2000", *BY_HEART,
        "--exp-dir", prepared / "by_heart", "--data.train-cuts", cuts,
        "--data.dev-cuts", prepared / "data/fbank/librispeech_cuts_dev-clean.jsonl.gz",
        "--data.lang-dir", prepared / "data/lang_bpe_80", timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    originals = prepared / "originals.jsonl.gz"
    CutSet.from_cuts(c for c in CutSet.from_file(cuts) if not is_speed_perturbed(c.id)).to_file(
        originals
    )
    scores = decode(DecodeConfig(exp_dir=prepared / "by_heart", avg=1), {"train": originals})
    assert scores["train"].characters.percent < 5


def test_noise_beside_the_speech(prepared: Path) -> None:
    """Features of MUSAN, nothing else is done again, and training reads speech with them."""
    musan.make(prepared)
    done = bash(
        "prepare.sh", *prepare_flags(prepared), "--musan-dir", prepared / "musan", "--stage", "1"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("done already") == 14  # and what the speech needs was not done again
    noise = prepared / "data/fbank/librispeech_cuts_noise.jsonl.gz"
    assert len(CutSet.from_file(noise)) == 18
    config = DataConfig(noise_cuts=noise, noise_percent=100, num_workers=0)
    tokens = load_tokens(prepared / "data/lang_bpe_60")
    train = CutSet.from_cuts(cuts_of(prepared / "data", "train"))
    batches = list(epoch_batches(train, tokens, config, seed=0, epoch=0))
    assert sum(len(batch.ids) for batch in batches) == 3 * 48
    assert not any(batch.rejected for batch in batches)


def test_hundred_hours(prepared: Path) -> None:
    """Up to the raw cuts: what follows is the same for all cuts."""
    done = bash(
        "prepare.sh", "--subset", "100", "--corpus-dir", prepared / "LibriSpeech",
        "--data-dir", prepared / "hundred", "--stop-stage", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    train = list(
        CutSet.from_file(prepared / "hundred/manifests/librispeech_cuts_raw_train.jsonl.gz")
    )
    assert len(train) == librispeech.part_sizes(60)["train-clean-100"]


def remove_audio(corpus: Path) -> str:
    path = min(corpus.rglob("test-clean/**/*.flac"))
    path.unlink()
    return f"{path.stem}: no audio"


def break_audio(corpus: Path) -> str:
    path = min(corpus.rglob("test-clean/**/*.flac"))
    path.write_bytes(b"fLaC")
    return f"{path.stem}: unreadable"


def remove_text(corpus: Path) -> str:
    path = min(corpus.rglob("test-clean/**/*.trans.txt"))
    first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([first.split()[0] + "\n", *rest]))
    return f"{first.split()[0]}: line without text"


def remove_line(corpus: Path) -> str:
    path = min(corpus.rglob("test-clean/**/*.trans.txt"))
    first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join(rest))
    return f"{first.split()[0]}: audio without a transcript"


@pytest.mark.parametrize("damage", [remove_audio, break_audio, remove_text, remove_line])
def test_what_cannot_be_used_is_left_out_by_id(
    damage: Callable[[Path], str], tmp_path: Path
) -> None:
    corpus = librispeech.make(tmp_path, num_utterances=20, speech=False)
    sentence = damage(corpus)
    script = RECIPE / "local/librispeech_manifests.py"
    command = [sys.executable, str(script), str(corpus), str(tmp_path / "manifests"),
               "--parts", "test-clean"]  # fmt: skip
    strict = subprocess.run(command, capture_output=True, text=True, check=False)
    assert strict.returncode == 2
    assert sentence in strict.stderr.splitlines()[-1]
    assert "1 of 2 utterances had to be left out" in strict.stderr
    lax = subprocess.run([*command, "--max-rejected-percent", "50"], check=False)
    assert lax.returncode == 0
    rejects = (tmp_path / "manifests/librispeech_rejects_test-clean.jsonl").read_text()
    assert json.loads(rejects)["id"] == sentence.split(":")[0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--subset", "360"], "--subset is '360', it must be full or 100"),
        (["--corpus-dir", "/nowhere", "--stage", "1"], "must be a part of LibriSpeech"),
        (["--vocab-size", "x"], "--vocab-size is 'x'"),
    ],
)
def test_wrong_options_are_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    data = ["--stop-stage", "1", "--data-dir", str(tmp_path / "data")]
    result = bash("prepare.sh", *data, *arguments)
    assert result.returncode == 2
    assert sentence in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_a_row_that_there_is_not_is_one_sentence(tmp_path: Path) -> None:
    result = bash("run_table.sh", "full_1000", "--exp-root", tmp_path)
    assert result.returncode == 2
    assert "rows: there is no 'full_1000', it must be one of full_2000," in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_conformer_m_has_the_parameters_of_its_paper() -> None:
    variants = load(RECIPE / "sampled_transducer/train.py").variants()
    encoder = variants["full_2000"].encoder
    assert (encoder.num_layers, encoder.width, encoder.num_heads) == (16, 256, 4)
    assert (encoder.kernel_frames, variants["full_2000"].predictor.hidden_width) == (31, 640)
    model = Factories().model(variants["full_2000"], 1000)
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert millions == pytest.approx(30.7, abs=0.1)


def test_variants_are_the_rows_of_table_1() -> None:
    program = load(RECIPE / "sampled_transducer/train.py")
    variants = program.variants()
    table = read_table(RECIPE / "local/paper_table.json")
    assert [row.variant for row in table.rows] == list(program.rows())
    rows = [*(row.variant for row in table.rows), "pruned"]
    assert set(variants) == {hours + row for row in rows for hours in ("", "hundred_")}
    assert variants["hundred_pruned"].loss.kind == variants["pruned"].loss.kind == "pruned"
    assert variants["pruned"].ctc == variants["full_2000"].ctc
    check(variants["pruned"])
    for row in table.rows:
        config = variants[row.variant]
        check(config)
        sampling, ctc = config.sampling, config.ctc
        assert config.data.lang_dir.name == f"lang_bpe_{row.vocab_size}"
        assert row.sampled == ("-" if sampling.strategy == "none" else str(sampling.num_sampled))
        assert ("SC-CTC" in row.auxiliary) == ctc.self_conditioning
        assert bool(row.auxiliary) == bool(ctc.intermediate_layers) == (ctc.joint_weight > 0)
        assert row.group.startswith("Batched") == (sampling.strategy == "batch")
        assert row.group.startswith("Example") == (sampling.strategy == "example")
        assert row.group.endswith("from SC-CTC") == (sampling.distribution == "interctc")
        hundred = variants[f"hundred_{row.variant}"]
        assert hundred.sampling == sampling
        assert hundred.data.train_cuts.parts[-3] == "data_100"


def test_no_number_of_ours_was_typed(tmp_path: Path) -> None:
    """RESULTS.md in the repository is what run_table.sh writes where nothing was run."""
    output = tmp_path / "RESULTS.md"
    table = RECIPE / "local/paper_table.json"
    done = run(ROOT / "local/show_table.py", table, tmp_path / "exp", "--output", output)
    assert done.returncode == 0, done.stderr
    assert (RECIPE / "RESULTS.md").read_text() == output.read_text()
