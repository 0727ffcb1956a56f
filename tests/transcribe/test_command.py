"""The program as a user calls it, with a model that says random things."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from icefall_sampled.export import open_model, save_folder
from icefall_sampled.transcribe import TranscribeConfig, Transcript, find_sources, transcribe
from icefall_sampled.transcribe import command as program_module
from icefall_sampled.transcribe.sources import Source
from tests.support.corpus import write_tokens
from tests.support.recipes import environment, interrupt, run
from tests.support.tiny import tiny_model
from tests.transcribe.sounds import noise, silence, write

MODULE = ("-m", "icefall_sampled.transcribe")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exported; trained on utterances of 2 s at the most."""
    folder = tmp_path_factory.mktemp("model")
    random = tiny_model(seed=3, scale=1.5)
    with torch.no_grad():
        random.joiner.output.bias[0] += 1.3
    save_folder(folder / "exported", random, lang_dir=write_tokens(folder / "lang"))
    return folder / "exported"


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for i, seconds in enumerate((0.7, 5.3, 1.9, 0.9)):
        write(folder / f"{i}.wav", noise(seconds, seed=i))
    (folder / "deeper").mkdir()
    write(folder / "deeper/4.flac", noise(3.1, seed=4), codec="flac")
    (folder / "notes.txt").write_text("no sound")
    return folder


@pytest.fixture
def call(
    model: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Call:
    """Call the program in this process: exit code, standard output, what was logged."""

    def called(*arguments: str | Path) -> tuple[int, str, str]:
        logged = io.StringIO()
        monkeypatch.setattr(sys, "argv", ["transcribe", str(model), *map(str, arguments)])
        code = 0
        handler = program_module.logging.StreamHandler(logged)
        program_module.logger.addHandler(handler)
        program_module.logger.setLevel("INFO")
        try:
            program_module.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        finally:
            program_module.logger.removeHandler(handler)
        return code, capfdbinary.readouterr().out.decode(), logged.getvalue()

    return called


def everything(model: Path, sounds: Path, **settings: object) -> list[Transcript]:
    loaded, tokens = open_model(model)
    config = TranscribeConfig(model=model, **settings)  # type: ignore[arg-type]
    return list(transcribe(loaded, tokens, find_sources([str(sounds)]), config))


def test_batches_and_windows_of_any_size_say_the_same(model: Path, sounds: Path) -> None:
    wanted = everything(model, sounds)
    assert [Path(t.source.name).name for t in wanted] == [
        "0.wav", "1.wav", "2.wav", "3.wav", "4.flac"
    ]  # fmt: skip
    assert len({t.text for t in wanted}) == 5 and all(t.text for t in wanted)
    for seconds in (0.1, 2.5, 1000.0):
        found = everything(model, sounds, max_batch_seconds=seconds)
        assert [t.text for t in found] == [t.text for t in wanted]


def test_times_are_the_files(model: Path, sounds: Path) -> None:
    for transcript in everything(model, sounds):
        times = [word.start for word in transcript.words]
        assert times == sorted(times)
        assert times[0] >= 0 and times[-1] < transcript.seconds
        parts = transcript.parts
        assert parts[0].start == 0
        assert all(a.end == b.start for a, b in pairwise(parts))
        assert all(part.start - 1 <= w.start <= part.end + 1 for part in parts for w in part.words)
    long = everything(model, sounds)[1]
    assert long.seconds == pytest.approx(5.3) and len(long.parts) >= 3
    assert long.words[-1].start > 4.5


def test_text_names_files_where_there_may_be_several(call: Call, sounds: Path) -> None:
    code, alone, _ = call(sounds / "0.wav")
    assert code == 0 and "\t" not in alone and alone.count("\n") == 1
    _, both, _ = call(sounds / "2.wav", sounds / "0.wav")
    rows = [line.split("\t") for line in both.splitlines()]
    assert [row[0] for row in rows] == [str(sounds / "2.wav"), str(sounds / "0.wav")]
    assert rows[1][1] + "\n" == alone
    _, folder, _ = call(sounds / "deeper")
    assert folder.startswith(f"{sounds}/deeper/4.flac\t")


def test_jsonl_has_times_confidence_and_nbest(call: Call, sounds: Path) -> None:
    _, text, _ = call(sounds / "1.wav")
    _, out, _ = call(
        sounds / "1.wav", "--format", "jsonl", "--method", "modified_beam", "--nbest", "3",
        "--beam", "4",
    )  # fmt: skip
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows[0]["start"] == 0 and rows[-1]["end"] == pytest.approx(5.3)
    for row in rows:
        assert row["file"] == str(sounds / "1.wav")
        assert row["text"] == "".join(word["word"] for word in row["words"])
        assert 0 <= row["confidence"] <= 1
        assert 1 < len(row["nbest"]) <= 3
        assert len({one["text"] for one in row["nbest"]}) == len(row["nbest"])
    _, greedy, _ = call(sounds / "1.wav", "--format", "jsonl")
    assert "".join(json.loads(line)["text"] for line in greedy.splitlines()) == text.strip()
    assert "nbest" not in greedy


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(
    call: Call, sounds: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.wav").write_text("hello")
    (tmp_path / "empty.mp3").write_bytes(b"")
    half = write(tmp_path / "half.flac", noise(6.0, seed=9), codec="flac")
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    code, out, said = call(tmp_path, tmp_path / "none.wav", sounds / "0.wav")
    assert code == 1
    assert [line.split("\t")[0] for line in out.splitlines()] == [
        str(half), str(sounds / "0.wav")
    ]  # fmt: skip
    lines = said.splitlines()
    assert any(x.startswith(f"cannot read {tmp_path}/text.wav: Invalid data") for x in lines)
    assert any(x.startswith(f"cannot read {tmp_path}/empty.mp3: Invalid data") for x in lines)
    assert any(x.startswith(f"{half} is damaged: it ends after") for x in lines)
    assert any(x.startswith(f"cannot read {tmp_path}/none.wav: No such file") for x in lines)


def test_too_short_a_file_is_an_empty_text(call: Call, tmp_path: Path) -> None:
    write(tmp_path / "short.wav", silence(0.02))
    assert call(tmp_path / "short.wav")[:2] == (0, "\n")
    _, row, _ = call(tmp_path / "short.wav", "--format", "jsonl")
    assert json.loads(row)["text"] == "" and json.loads(row)["words"] == []
    assert call(tmp_path / "short.wav", "--format", "srt")[:2] == (0, "")


def test_a_folder_of_captions_goes_on_where_it_was(
    call: Call, sounds: Path, tmp_path: Path
) -> None:
    arguments = (sounds, "--format", "srt", "--output", f"{tmp_path}/out/")
    assert call(*arguments)[:2] == (0, "")
    names = ["0.srt", "1.srt", "2.srt", "3.srt", "deeper/4.srt"]
    paths = [tmp_path / "out" / name for name in names]
    wanted = [path.read_text() for path in paths]
    assert all(text.startswith("1\n00:00:0") for text in wanted)
    paths[1].unlink()
    paths[0].write_text("mine")
    code, _, said = call(*arguments)
    assert code == 0 and "4 of 5 files are done already" in said
    assert [path.read_text() for path in paths] == ["mine", *wanted[1:]]
    call(*arguments, "--overwrite")
    assert [path.read_text() for path in paths] == wanted
    assert sorted(p for p in (tmp_path / "out").rglob("*") if p.is_file()) == sorted(paths)


def test_files_of_one_name_do_not_take_each_others_place(
    call: Call, sounds: Path, tmp_path: Path
) -> None:
    for name in ("a/x.wav", "a/x.aiff", "b/x.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, noise(0.5))
    call(tmp_path / "a", "--output", f"{tmp_path}/out/")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["x.aiff.txt", "x.wav.txt"]
    with pytest.raises(ValueError, match=r"a/x.wav and .*b/x.wav would both be x.wav.txt"):
        call(tmp_path / "a/x.wav", tmp_path / "b/x.wav", "--output", f"{tmp_path}/out/")


def test_one_file_of_output_holds_all(call: Call, sounds: Path, tmp_path: Path) -> None:
    _, wanted, _ = call(sounds)
    assert call(sounds, "--output", tmp_path / "all.txt")[:2] == (0, "")
    assert (tmp_path / "all.txt").read_text() == wanted


def test_wrong_arguments_are_one_sentence(call: Call, sounds: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ((), "files are nothing, there must be a file of sound"),
        ((tmp_path,), f"files are {tmp_path}, there must be"),
        (("-", "-"), r"files name - \(standard input\) twice"),
        (("-", "--files-from", "-"), r"files is \('-',\), it must be without -"),
        ((sounds, "--format", "srt"), "format is srt, of which each of 5 files needs its own"),
        ((sounds, "--max-segment-seconds", "0.5"), "max_segment_seconds is 0.5, it must be at"),
        ((sounds, "--max-segment-seconds", "inf"), "max_segment_seconds is inf, it must be at"),
        ((sounds, "--overlap-seconds", "0.6"), "overlap_seconds is 0.6, it must be at most a q"),
        ((sounds, "--max-batch-seconds", "0"), "max_batch_seconds is 0.0, it must be positive"),
        ((sounds, "--max-batch-seconds", "inf"), "max_batch_seconds is inf, it must be positive"),
        ((sounds, "--avg", "-1"), "avg is -1, it must be at least 0"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            call(*arguments)
        assert "\n" not in str(caught.value)


def test_longer_segments_than_trainings_are_warned_of(call: Call, sounds: Path) -> None:
    _, _, said = call(sounds / "1.wav", "--max-segment-seconds", "4")
    assert "max_segment_seconds is 4, training had no utterance beyond 2 s" in said


def test_standard_input_and_output_are_bytes_alone(model: Path, sounds: Path) -> None:
    """Through a real pipe, as of `ffmpeg … | transcribe MODEL -`."""
    wanted = run(*MODULE, model, sounds / "1.wav")
    assert wanted.returncode == 0 and wanted.stdout.strip()
    piped = subprocess.run(
        [sys.executable, *MODULE, str(model), "-"], input=(sounds / "1.wav").read_bytes(),
        env=environment(), capture_output=True, check=True,
    )  # fmt: skip
    assert piped.stdout.decode() == wanted.stdout


def test_a_list_of_files_comes_from_standard_input(
    call: Call, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, wanted, _ = call(sounds / "3.wav", sounds / "0.wav")
    names = f"{sounds}/3.wav\n{sounds}/0.wav\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(names)))
    assert call("--files-from", "-")[1] == wanted


def test_a_full_disk_and_a_reader_who_left(model: Path, sounds: Path) -> None:
    command = [sys.executable, *MODULE, str(model), str(sounds / "0.wav")]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, env=environment(), stdout=full, stderr=subprocess.PIPE, check=False
        )
    said = done.stderr.decode().splitlines()
    assert done.returncode == 2
    assert said[-1] == "error: cannot write to standard output: No space left on device"
    process = subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait() == 141


def test_ctrl_c_leaves_whole_files_and_the_same_command_goes_on(
    model: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for i in range(12):
        write(tmp_path / f"in/{i:02d}.wav", noise(6.0, seed=i))
    out = tmp_path / "out"
    command = [*MODULE, model, tmp_path / "in", "--output", f"{out}/", "--max-batch-seconds", "1"]
    code, said = interrupt(command, when=lambda: (out / "01.txt").exists())
    assert code == 130, said
    assert said.splitlines()[-1] == "interrupted; the same command goes on from what is saved"
    written = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert 2 <= len(written) < 12 and all(name.endswith(".txt") for name in written)
    assert run(*command).returncode == 0
    assert len(list(out.iterdir())) == 12
    assert all((out / name).stat().st_mtime_ns == then for name, then in written.items())


def test_results_come_while_later_files_are_read(model: Path, tmp_path: Path) -> None:
    """A file is given as soon as it is decoded: the third is not yet opened when the first is."""
    loaded, tokens = open_model(model)
    opened: list[str] = []

    class Watched(Source):
        def open(self):  # type: ignore[no-untyped-def]
            opened.append(self.name)
            return super().open()

    sources = [
        Watched(name=str(write(tmp_path / f"{i}.wav", noise(3.0))), relative=Path(f"{i}"))
        for i in range(3)
    ]
    config = TranscribeConfig(model=model, max_batch_seconds=1.0)
    first = next(iter(transcribe(loaded, tokens, sources, config)))
    assert first.source is sources[0]
    assert len(opened) == 2
    assert np.isclose(first.seconds, 3.0)
