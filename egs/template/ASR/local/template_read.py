"""Make one manifest of cuts from audio files and their texts.

    template_read.py OUT_CUTS --audio DIR                        each a.wav has an a.txt beside it
    template_read.py OUT_CUTS --audio DIR --transcripts FILE     lines `a.wav the text`
    template_read.py OUT_CUTS --cuts cuts.jsonl.gz               lhotse cuts that load audio

DIR is searched recursively. The first column of FILE is a path relative to DIR, with or without its
suffix, or a bare file name if that is unique; the second, after a tab or a space, is the text.
Audio is resampled to 16 kHz when it is read, and only the first channel is used.

Files without a text, texts without a file, empty texts and files that are not audio are left out,
and reported in the log and in OUT_CUTS' name with `.rejects.jsonl`.
"""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.cut import Cut
from tqdm import tqdm

from icefall_sampled.audio import SAMPLING_RATE
from icefall_sampled.cli import run_script
from icefall_sampled.data import read_cuts
from icefall_sampled.data.rejects import Rejects
from icefall_sampled.errors import UserError, unreadable
from icefall_sampled.files import replacing
from icefall_sampled.jobs import open_jobs

ENDINGS = (
    *(".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a"),
    *(".sph", ".aac", ".wma", ".aiff", ".webm", ".mp4"),
)
_FILES_TO_A_JOB = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Item:
    """An audio file and its text."""

    id: str
    audio: Path
    text: str
    speaker: str | None


def clean(text: str, case: str) -> str:
    """Normalise Unicode, spaces between words, and the case."""
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return {"keep": text, "lower": text.lower(), "upper": text.upper()}[case]


def audio_files(folder: Path) -> dict[str, Path]:
    """The audio files in a folder and below it, by their relative paths without suffix.

    Raises:
        UserError: if there are none, or two differ only in their suffix.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in ENDINGS:
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in found:
                raise UserError(f"{path} and {found[name]} must differ in more than their ending")
            found[name] = path
    if not found:
        raise UserError(f"--audio is {folder}, it must be a folder with audio files")
    return found


def texts_beside(files: dict[str, Path], rejects: Rejects) -> dict[str, str]:
    """The text in the .txt file of each audio file, by the name of the audio."""
    texts = {}
    for name, path in files.items():
        try:
            texts[name] = path.with_suffix(".txt").read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            rejects.add(name, f"there is no {path.with_suffix('.txt').name} beside it")
        except UnicodeDecodeError as error:
            rejects.add(name, f"its text is not UTF-8 ({error})")
    return texts


def texts_of(transcripts: Path, files: dict[str, Path], rejects: Rejects) -> dict[str, str]:
    """The texts in a file of two columns, by the name of the audio.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        lines = transcripts.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--transcripts is {transcripts}, it must be a UTF-8 file") from error
    stems = Counter(Path(name).name for name in files)
    by_stem = {Path(name).name: name for name in files if stems[Path(name).name] == 1}
    texts: dict[str, str] = {}
    for line in filter(str.strip, lines):
        first, _, text = line.partition("\t") if "\t" in line else line.strip().partition(" ")
        key = Path(first.strip())
        bare = key.with_suffix("") if key.suffix.lower() in ENDINGS else key
        name = bare.as_posix() if bare.as_posix() in files else by_stem.get(bare.name, "")
        if not name:
            rejects.add(str(key), "a text without an audio file")
        elif name in texts:
            rejects.add(f"{key} again", "a second text of the same file")
        else:
            texts[name] = text
    for name in files.keys() - texts.keys():
        rejects.add(name, f"no text in {transcripts.name}")
    return texts


def read_items(items: list[Item]) -> list[tuple[Item, MonoCut | None, str]]:
    """A cut for each audio file, or the reason why there is none."""
    return [(item, *_read(item)) for item in items]


def _read(item: Item) -> tuple[MonoCut | None, str]:
    if not item.text:
        return None, "empty transcript"
    try:
        recording = Recording.from_file(item.audio, recording_id=item.id)
    except Exception as error:  # a broken file makes a codec raise anything
        return None, unreadable(error)
    if recording.num_samples <= 0:
        return None, "there is no sound in it"
    recording = recording.resample(SAMPLING_RATE)
    channel = recording.channel_ids[0]
    segment = SupervisionSegment(
        id=item.id, recording_id=item.id, start=0, duration=recording.duration, channel=channel,
        text=item.text, speaker=item.speaker,
    )  # fmt: skip
    return MonoCut(
        id=item.id, start=0, duration=recording.duration, channel=channel, recording=recording,
        supervisions=[segment],
    ), ""  # fmt: skip


def from_folder(
    audio: Path, transcripts: Path | None, speakers: str, case: str, num_jobs: int,
    limit_percent: float,
) -> tuple[list[Cut], Rejects]:  # fmt: skip
    """Cuts of the audio files in a folder, in the order of their names."""
    files = audio_files(audio.resolve())
    rejects = Rejects(len(files), limit_percent)
    texts = texts_of(transcripts, files, rejects) if transcripts else texts_beside(files, rejects)
    rejects.total += sum(r.utterance_id not in files for r in rejects.rejects)
    items = [
        Item(
            id=name.replace("/", "-"), audio=files[name], text=clean(texts[name], case),
            speaker=files[name].parent.name if speakers == "folders" else None,
        )
        for name in files if name in texts
    ]  # fmt: skip
    cuts: dict[str, Cut] = {}
    parts = (items[i : i + _FILES_TO_A_JOB] for i in range(0, len(items), _FILES_TO_A_JOB))
    with open_jobs(num_jobs=num_jobs) as jobs, tqdm(total=len(items), desc="audio") as bar:
        for part in jobs.run(read_items, parts):
            for item, cut, reason in part:
                bar.update()
                if cut is None:
                    rejects.add(item.id, reason)
                else:
                    cuts[item.id] = cut
    return [cuts[item.id] for item in items if item.id in cuts], rejects


def from_manifest(path: Path, case: str, limit_percent: float) -> tuple[list[Cut], Rejects]:
    """A cut for each supervision of a manifest."""
    segments = list(_segments(read_cuts(path.resolve(), argument="--cuts")))
    rejects = Rejects(len(segments), limit_percent)
    cuts = []
    for cut in segments:
        segment = cut.supervisions[0]
        segment = segment.transform_text(partial(clean, case=case)) if segment.text else segment
        if not cut.has_recording:
            rejects.add(cut.id, "a cut without audio")
        elif not segment.text:
            rejects.add(cut.id, "empty transcript")
        else:
            cut.supervisions = [segment]
            cuts.append(cut.drop_features().resample(SAMPLING_RATE))
    return cuts, rejects


def _segments(cuts: CutSet) -> Iterator[Cut]:
    for cut in cuts:
        if len(cut.supervisions) == 1:
            yield cut
        else:
            yield from cut.trim_to_supervisions(keep_overlapping=False)


def main(
    out_cuts: Path,
    /,
    *,
    audio: Path | None = None,
    transcripts: Path | None = None,
    cuts: Path | None = None,
    speakers: Literal["unknown", "folders"] = "unknown",
    case: Literal["keep", "lower", "upper"] = "keep",
    num_jobs: int = 2,
    max_rejected_percent: float = 1.0,
) -> None:
    """Make one manifest of cuts from audio files and texts, or from a manifest.

    Args:
        out_cuts: manifest to write.
        audio: folder of audio files.
        transcripts: file of two columns; without it each audio file has a .txt beside it.
        cuts: a lhotse manifest, instead of a folder.
        speakers: whether the name of a file's folder is its speaker.
        case: the case of the texts.
        num_jobs: number of processes.
        max_rejected_percent: stop if more than this share of the files cannot be used.
    """
    if (audio is None) == (cuts is None):
        raise UserError("either --audio or --cuts must be given, and not both")
    if audio is not None:
        found, rejects = from_folder(
            audio, transcripts, speakers, case, num_jobs, max_rejected_percent
        )
    else:
        assert cuts is not None
        found, rejects = from_manifest(cuts, case, max_rejected_percent)
    rejects.write(out_cuts.with_name(f"{out_cuts.name.split('.', 1)[0]}.rejects.jsonl"))
    rejects.check()
    with replacing(out_cuts) as temporary:
        CutSet.from_cuts(found).to_file(temporary)
    hours = sum(cut.duration for cut in found) / 3600
    logger.info("%d utterances, %.2f hours; %d left out", len(found), hours, rejects.count)


if __name__ == "__main__":
    run_script(main)
