"""The HSK words end to end on a miniature that is made like the corpus."""

from __future__ import annotations

from pathlib import Path

import pytest
from lhotse import CutSet
from lhotse.cut import MixedCut

from icefall_sampled.config import check
from icefall_sampled.data import is_speed_perturbed
from icefall_sampled.recipes.results import percent, scores_of
from icefall_sampled.tokens import WordTokens, load_tokens
from tests.replicas import hsk
from tests.support.character_recipes import bash, cuts_of, recipe, stages_again
from tests.support.corpus import write_cuts
from tests.support.recipes import load, run

SETS = ("train", "dev", "test-unseen")
PROGRAMS = recipe("hsk") / "sampled_transducer"
# With these a model learns eighty words by heart.
SMALL = [
    "--encoder.subsampling-channels", "16", "--encoder.num-layers", "3", "--encoder.width", "64",
    "--encoder.num-heads", "2", "--encoder.feedforward-width", "96", "--encoder.kernel-frames", "7",
    "--predictor.embedding-width", "16", "--predictor.hidden-width", "32", "--joiner.width", "64",
    "--sampling.num-sampled", "12", "--loss.ctc-only-steps", "40", "--optimizer.warmup-steps", "20",
    "--optimizer.learning-rate", "4e-3", "--data.num-buckets", "2", "--data.num-workers", "0",
    "--training.max-steps", "160", "--training.checkpoint-every-steps", "160",
]  # fmt: skip


def flags(folder: Path, corpus: Path, units: str = "syllables") -> list[str]:
    return [
        "--corpus-dir", str(corpus), "--checksums", str(corpus.with_name("corpus.json")),
        "--units", units, "--data-dir", str(folder / "data"), "--num-jobs", "1",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred words, and a file that is no MP3."""
    corpus = hsk.make(tmp_path_factory.mktemp("corpus"))
    (corpus / "cmn-大大.mp3").write_bytes(b"no MP3")
    hsk.describe(corpus)
    return corpus


@pytest.fixture(scope="module")
def prepared(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what prepare.sh made in `data`."""
    folder = tmp_path_factory.mktemp("hsk")
    done = bash("hsk", "prepare.sh", *flags(folder, corpus))
    assert done.returncode == 0, done.stderr
    assert "left out cmn-大大: cannot be decoded" in done.stderr
    assert "the sets share no word, and training knows the syllables of all" in done.stderr
    return folder


def test_all_stages(prepared: Path, corpus: Path) -> None:
    sets = {name: cuts_of(prepared, "hsk", name) for name in SETS}
    words = {
        name: {cut.supervisions[0].custom["word"] for cut in cuts} for name, cuts in sets.items()
    }
    assert sorted(word for chosen in words.values() for word in chosen) == sorted(hsk.words(100))
    assert all(words.values())
    assert len(sets["train"]) == 3 * len(words["train"])
    for cut in sets["test-unseen"]:
        assert cut.sampling_rate == 16000
        # Nearly all of the silence is gone.
        assert cut.duration < cut.recording.duration - hsk.SILENCE_SECONDS
        assert cut.load_audio().shape == (1, cut.num_samples)
        assert len(cut.supervisions[0].text.split()) == 2
    tokens = load_tokens(prepared / "data/lang_word")
    assert isinstance(tokens, WordTokens)
    text = sets["dev"][0].supervisions[0].text
    assert tokens.decode(tokens.encode(text)) == text
    again = stages_again("hsk", *flags(prepared, corpus))
    # The manifests are made again: what could not be read may have been mended.
    assert [line.split(": ")[0][9:] for line in again if "done already" not in line] == [
        "stage 1, manifests", "stage 1, manifests",
    ]  # fmt: skip
    assert len(again) == 11


def test_lists_in_characters(corpus: Path, tmp_path: Path) -> None:
    options = [*flags(tmp_path, corpus, "characters"), "--compose-hours", "0.05"]
    done = bash("hsk", "prepare.sh", *options, "--stop-stage", "2")
    assert done.returncode == 0, done.stderr
    sets = {
        name: list(CutSet.from_file(tmp_path / f"data/manifests/hsk_cuts_raw_{name}.jsonl.gz"))
        for name in (*SETS, "test-lists")
    }
    words = [cut for name in SETS for cut in sets[name] if not isinstance(cut, MixedCut)]
    assert {cut.supervisions[0].text for cut in words} == {*hsk.words(100)}
    for name in ("train", "test-lists"):
        lists = [cut for cut in sets[name] if isinstance(cut, MixedCut)]
        assert all(2 <= len(cut.supervisions[0].text.split()) <= 8 for cut in lists)
        seconds = {"train": 180, "test-lists": 720}[name]
        assert seconds <= sum(cut.duration for cut in lists) < seconds + 12
    check = recipe("hsk") / "local/hsk_check_sets.py"
    done = run(check, "--data-dir", tmp_path / "data", "--units", "characters", "--lists")
    assert done.returncode == 0, done.stderr


def test_trained_and_decoded(prepared: Path) -> None:
    """Words of the training set are recognised, so sound and syllables belong together."""
    fbank = prepared / "data/fbank"
    originals = [c for c in cuts_of(prepared, "hsk", "train") if not is_speed_perturbed(c.id)]
    cuts = write_cuts(fbank / "hsk_cuts_dev.jsonl.gz", originals)
    exp_dir = prepared / "exp"
    done = run(
        PROGRAMS / "train.py", "example_ctc", *SMALL, "--exp-dir", exp_dir,
        "--data.train-cuts", cuts, "--data.dev-cuts", cuts,
        "--data.lang-dir", prepared / "data/lang_word",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = run(
        PROGRAMS / "decode.py", "--exp-dir", exp_dir, "--data-dir", prepared / "data",
        "--method", "time_sync_beam", "--ctc-top-k", "10",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["dev", "test-unseen"]
    (scores,) = scores_of(exp_dir).values()
    error_percent = percent(scores["dev"]["words"])
    assert error_percent is not None
    assert error_percent < 30


def test_variants_differ_in_what_their_names_say() -> None:
    variants = load(PROGRAMS / "train.py").variants()
    assert {
        "full", "pruned", "batch_uniform", "example_uniform", "example_ctc", "example_ctc_50",
        "example_scctc", "full_scctc", "characters_full", "characters_example_ctc",
        "characters_example_ctc_100",
    } <= set(variants)  # fmt: skip
    for name, config in variants.items():
        check(config)
        in_characters = name.startswith("characters_")
        assert config.exp_dir.parts[-3:] == ("ASR", "exp", name)
        assert config.data.lang_dir.parts[-2:] == (
            ("data_characters", "lang_char") if in_characters else ("data", "lang_word")
        )
        assert config.data.train_cuts.parts[-3] == config.data.lang_dir.parts[-2]
        assert config.training.threads == 1
    sampled = {name: variants[name].sampling.num_sampled for name in variants}
    assert sampled["example_ctc"] == 100
    assert sampled["example_ctc_50"] == 50
    assert sampled["characters_example_ctc"] == 300
    assert sampled["characters_example_ctc_100"] == 100
