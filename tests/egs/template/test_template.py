"""A corpus of one's own: what is read, left out, split and chosen, and one command for all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet

from icefall_sampled.config import check
from icefall_sampled.data.rejects import TooManyRejects
from icefall_sampled.tokens import load_tokens
from tests.replicas.english import sentences
from tests.replicas.speech import Sentence, recordings, speaker_voice
from tests.support.corpus import LETTERS, make_cut, write_cuts, write_tokens
from tests.support.recipes import ROOT, load

RECIPE = ROOT / "egs/template/ASR"
SMALLER = (
    "--encoder.num-layers 2 --encoder.width 16 --encoder.num-heads 2 --encoder.kernel-frames 3 "
    "--encoder.feedforward-width 32 --encoder.subsampling-channels 4 "
    "--predictor.hidden-width 16 --predictor.embedding-width 8 --joiner.width 16 "
    "--data.num-workers 0 --training.threads 1"
)


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """A folder of 12 files of noise in two others, and their texts beside them."""
    folder = tmp_path / "audio"
    random = np.random.default_rng(0)
    for number in range(12):
        path = folder / f"speaker{number % 2}/utt{number:02d}.{('wav', 'flac')[number % 2]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = random.normal(scale=0.1, size=8000 + 100 * number)
        soundfile.write(path, samples, 8000 if number == 3 else 16000)
        path.with_suffix(".txt").write_text(f" Text  number\n{number}\n", encoding="utf-8")
    return folder


def read(folder: Path, **options: object) -> tuple[list[object], dict[str, str]]:
    """The cuts that template_read.py makes, and what it left out."""
    program = load(RECIPE / "local/template_read.py")
    out = folder / "all.jsonl.gz"
    program.main(out, num_jobs=1, **options)
    lines = (folder / "all.rejects.jsonl").read_text().splitlines()
    rejects = [json.loads(line) for line in lines]
    return list(CutSet.from_file(out)), {row["id"]: row["reason"] for row in rejects}


def test_texts_beside_the_audio(audio: Path, tmp_path: Path) -> None:
    cuts, rejects = read(tmp_path, audio=audio, speakers="folders", case="lower")
    assert rejects == {}
    assert len(cuts) == 12
    by_id = {cut.id: cut for cut in cuts}
    third = by_id["speaker1-utt03"]
    assert third.supervisions[0].text == "text number 3"
    assert third.supervisions[0].speaker == "speaker1"
    assert third.sampling_rate == 16000
    assert third.duration == pytest.approx(8300 / 8000)
    assert third.load_audio().shape == (1, 16600)


def test_every_trap_is_left_out_by_name(audio: Path, tmp_path: Path) -> None:
    (audio / "speaker0/utt00.wav").write_bytes(b"no audio")
    (audio / "speaker1/utt01.txt").unlink()
    (audio / "speaker0/utt02.txt").write_text(" \n")
    (audio / "speaker1/utt03.txt").write_bytes(b"\xff\xfe")
    soundfile.write(audio / "speaker0/utt04.wav", np.zeros(0), 16000)
    with pytest.raises(TooManyRejects, match="5 of 12"):
        read(tmp_path, audio=audio)
    cuts, rejects = read(tmp_path, audio=audio, max_rejected_percent=50)
    assert len(cuts) == 7
    for name, reason in (
        ("speaker0-utt00", "unreadable"), ("speaker1/utt01", "there is no utt01.txt"),
        ("speaker0-utt02", "empty transcript"), ("speaker1/utt03", "not UTF-8"),
        ("speaker0-utt04", ""),
    ):  # fmt: skip
        assert reason in rejects[name]


def test_a_file_of_transcripts(audio: Path, tmp_path: Path) -> None:
    transcripts = tmp_path / "texts.tsv"
    lines = [f"speaker{n % 2}/utt{n:02d}.{('wav', 'flac')[n % 2]}\tEins {n}" for n in range(6)]
    lines += ["utt06 Zwei 6", "speaker1/utt07 Zwei 7", "utt08.wav\tZwei", "", "utt99 nobody"]
    lines += ["utt06 again"]  # no newline at the end
    transcripts.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    cuts, rejects = read(tmp_path, audio=audio, transcripts=transcripts, max_rejected_percent=60)
    texts = [cut.supervisions[0].text for cut in sorted(cuts, key=lambda cut: cut.id[-2:])]
    assert texts == [*(f"Eins {n}" for n in range(6)), "Zwei 6", "Zwei 7", "Zwei"]
    assert rejects["utt99"] == "a text without an audio file"
    assert rejects["utt06 again"] == "a second text of the same file"
    assert {f"speaker{n % 2}/utt{n:02d}" for n in (9, 10, 11)} < set(rejects)


def test_a_manifest_of_lhotse(audio: Path, tmp_path: Path) -> None:
    first, _ = read(tmp_path, audio=audio)
    silent = make_cut(tmp_path / "feats", "no-audio", np.zeros((40, 80), np.float32), "ab")
    manifest = write_cuts(tmp_path / "mine.jsonl.gz", [*first, silent])
    cuts, rejects = read(tmp_path, cuts=manifest, max_rejected_percent=50, case="upper")
    assert [cut.id for cut in cuts] == [cut.id for cut in first]
    assert {cut.supervisions[0].text.split()[0] for cut in cuts} == {"TEXT"}
    assert rejects == {"no-audio": "a cut without audio"}


@pytest.mark.parametrize("num_speakers", [0, 3, 12])
def test_the_split_is_that_of_the_hashes(tmp_path: Path, num_speakers: int) -> None:
    program = load(RECIPE / "local/template_split.py")
    cuts = []
    for number in range(60):
        cut = make_cut(tmp_path / "feats", f"u{number}", np.zeros((100, 80), np.float32), "ab")
        cut.supervisions[0].speaker = f"s{number % num_speakers}" if num_speakers else None
        cuts.append(cut)
    parts = program.split(cuts, percent=10)
    ids = [[cut.id for cut in part] for part in parts]
    assert ids == [[c.id for c in part] for part in program.split(cuts[::-1], percent=10)]
    assert sorted(chain.from_iterable(ids)) == sorted(cut.id for cut in cuts)
    assert len(ids[0]) >= 40
    assert len(ids[1]) >= 6
    assert len(ids[2]) >= 6
    if num_speakers == 12:
        speakers = [{cut.supervisions[0].speaker for cut in part} for part in parts]
        assert not speakers[0] & (speakers[1] | speakers[2])
        assert not speakers[1] & speakers[2]
    with pytest.raises(ValueError, match="there are 2 utterances, there must be at least 3"):
        program.split(cuts[:2], percent=10)


def test_what_suits_hours_and_text(tmp_path: Path) -> None:
    program = load(RECIPE / "local/template_plan.py")
    english = sentences(400, seed=1)
    features = np.zeros((9000, 80), np.float32)  # 90 s each: 10 hours
    ideographs = "".join(chr(0x4E00 + n) for n in range(1000))
    for texts, expected in (
        (english, "bpe 250"),
        (["a b ab"] * 400, "bpe "),  # as many as there are in it
        ([ideographs[n : n + 8] for n in range(400)], "characters"),
    ):
        cuts = [make_cut(tmp_path / "f", "x", features, text) for text in texts]
        for number, cut in enumerate(cuts):
            cut.id = f"x{number}"
        path = write_cuts(tmp_path / "cuts.jsonl.gz", cuts)
        chosen = program.choose_vocabulary(path)
        assert chosen.startswith(expected)
    assert program.first_fit(program.MODELS, 1) == "tiny"
    assert program.first_fit(program.MODELS, 3) == "small"
    assert program.first_fit(program.MODELS, 100) == "medium"
    assert program.first_fit(program.MODELS, 5000) == "large"
    lang_dir = write_tokens(tmp_path / "lang", LETTERS)
    words = program.choose_training(path, lang_dir, 60).split()
    assert words[0] == "small"
    assert words[words.index("--training.max-steps") + 1] == "60"
    assert int(words[words.index("--sampling.num-sampled") + 1]) == load_tokens(lang_dir).vocab_size


@pytest.mark.parametrize(
    ("durations", "limits"),
    [
        ([1.0] * 50 + [5.0] * 50, [2.0] * 3),
        ([3.04] * 10 + [6.0] * 10, [3.1] * 5),
        ([1.0] + [8.0] * 90, [8.0]),
        ([1.0] * 2 + [9.0] * 4, [2.0] * 50),
    ],
)
def test_a_tiny_model_begins_with_short_utterances(
    durations: list[float], limits: list[float], tmp_path: Path
) -> None:
    """20 steps of 20 seconds, in epochs of all that is at most two seconds, or of a fifth; thrice,
    because there are the slower and faster copies."""
    program = load(RECIPE / "local/template_plan.py")
    cuts = []
    for number, seconds in enumerate(durations):
        cut = make_cut(tmp_path / "feats", "x", np.zeros((10, 80), np.float32), "ab")
        cut.id, cut.duration, cut.features = f"x{number}", seconds, None
        cuts.append(cut)
    path = write_cuts(tmp_path / "cuts.jsonl.gz", cuts)
    assert program.short_first(path, 20) == limits
    options = program.choose_training(path, write_tokens(tmp_path / "lang", LETTERS), 160)
    assert options.endswith(" ".join(["--data.curriculum-seconds", *(f"{s:g}" for s in limits)]))


def test_the_large_variant_is_the_papers() -> None:
    variants = load(RECIPE / "sampled_transducer/train.py").variants()
    sizes = ["tiny", "small", "medium", "large"]
    assert list(variants) == [size + end for end in ("", "_full", "_pruned") for size in sizes]
    for name, config in variants.items():
        check(config)
        assert (config.sampling.strategy == "none") == name.endswith(("_full", "_pruned"))
        assert (config.loss.kind == "pruned") == name.endswith("_pruned")
    assert (variants["large"].encoder.num_layers, variants["large"].encoder.width) == (16, 256)


def run_sh(recipe: Path, *options: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """One command, as a user types it, with this environment's Python."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", recipe / "run.sh", *options], cwd=cwd, text=True, capture_output=True,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}, timeout=280, check=False,
    )  # fmt: skip


def house_of(folder: Path, *, environment: str) -> Path:
    """A copy of the recipe, because it makes its data beside itself.

    Args:
        folder: in which it is made.
        environment: shell that stands in for the set-up of the environment.
    """
    house = folder / "house"
    recipe = house / "egs/template/ASR"
    recipe.parent.mkdir(parents=True)
    shutil.copytree(RECIPE, recipe, ignore=shutil.ignore_patterns("data", "exp", "__pycache__"))
    for name in ("local", "icefall_sampled", ".venv", ".venv-torch2"):
        (house / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "shared", house / "shared")
    (house / "shared/setup_env.sh").write_text(f"#!/bin/sh\n{environment}\n")
    return recipe


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("", "either --audio or --cuts must be given"),
        ("--audio nowhere", "--audio is nowhere, it must be a folder with audio files"),
        ("--audio . --cuts x.jsonl.gz", "--audio and --cuts were given, it must be one of them"),
        ("--cuts x.jsonl.gz", "--cuts is x.jsonl.gz, it must be a manifest"),
        ("--audio . --transcripts x", "--transcripts is x, it must be a file of lines"),
        ("--cuts . --transcripts x", "--transcripts is x, it must be a file of lines"),
        ("--audio . --speakers many", "--speakers is 'many', it must be one of: unknown folders"),
        ("--audio . --case title", "--case is 'title', it must be one of: keep lower upper"),
        ("--audio . --percent none", "--percent is 'none', it must be a number greater than 0"),
        ("--audio . --vocab-size bpe", "--vocab-size is 'bpe', it must be a whole number above 0"),
        ("--audio . --num-jobs 0", "--num-jobs is '0', it must be a number greater than 0"),
    ],
)
def test_wrong_options_are_said_before_the_set_up(
    options: str, sentence: str, tmp_path: Path
) -> None:
    recipe = house_of(tmp_path, environment=f"touch {tmp_path}/made; exit 1")
    refused = run_sh(recipe, *options.split(), cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"run.sh: {sentence}")
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "made").exists()
    assert run_sh(recipe, "--audio", ".", cwd=tmp_path).returncode == 1
    assert (tmp_path / "made").exists()


def test_a_misspelt_variant_is_said_before_preparing(tmp_path: Path) -> None:
    recipe = house_of(tmp_path, environment=f"echo {Path(sys.executable).parents[1]}")
    refused = run_sh(recipe, "--audio", ".", "--variant", "tyny", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr == (
        "error: there is no variant 'tyny', it must be one of tiny, small, medium, large, "
        "tiny_full, small_full, medium_full, large_full, "
        "tiny_pruned, small_pruned, medium_pruned, large_pruned\n"
    )
    assert not (recipe / "data").exists()


def test_one_command_from_a_folder_to_a_measured_model(tmp_path: Path) -> None:
    pytest.importorskip("kaldifeat")
    recipe = house_of(tmp_path, environment=f"echo {Path(sys.executable).parents[1]}")
    folder = tmp_path / "mine/recorded"
    folder.mkdir(parents=True)
    said = [
        Sentence(text=text, voice=speaker_voice("en-us", n % 4))
        for n, text in enumerate(sentences(40, seed=2))
    ]
    random = np.random.default_rng(0)
    for number, samples in enumerate(recordings(said, random, speech=True)):
        soundfile.write(folder / f"utt{number:02d}.wav", samples, 16000)
        (folder / f"utt{number:02d}.txt").write_text(said[number].text)
    (folder / "utt07.wav").write_bytes(b"broken")
    command = (*("--audio", "recorded", "--case", "lower"), "--train-options", SMALLER)
    done = run_sh(recipe, *command, "--steps", "20", cwd=folder.parent)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "left out utt07: unreadable" in done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| recorded")]
    assert [row.split("|")[3].strip() for row in rows] == ["dev", "test"]
    statistics = json.loads((recipe / "data/recorded/statistics.json").read_text())
    assert sum(row["utterances"] for row in statistics) > 3 * 30
    again = run_sh(recipe, *command, "--steps", "24", cwd=folder.parent)
    assert again.returncode == 0, again.stderr[-3000:]
    assert "stage 3, features-train: done already" in again.stderr
    assert "at step 20" in again.stderr
