"""Stage 1: lhotse manifests, a recording and a supervision for each word.

    DATA_DIR/manifests/hsk_recordings.jsonl.gz
    DATA_DIR/manifests/hsk_supervisions.jsonl.gz
    DATA_DIR/manifests/hsk_rejects.jsonl            what could not be used

The recordings are the MP3 files as they are; a supervision's start and duration leave out the
silence before and after the word. Its text is the word's syllables with spaces between, as pypinyin
reads the word: `ming2 zi4`, the tone as a digit, 5 where it is neutral, v for ü. Tones that change
beside another (一, 不, two third tones) are written as in the dictionary. With `--units characters`
the text is the word as it is written. Either way the custom fields hold both, as `word` and
`syllables`.

A file's name is its text: cmn-名字.mp3. Names with `_`, which stands for an ellipsis, are left out
without being counted as rejects: nobody knows what is said there, or whether it is a pause.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Literal

from hsk_download import recordings_in
from hsk_speech import find_speech
from lhotse import Recording, RecordingSet, SupervisionSegment, SupervisionSet
from pypinyin import Style, lazy_pinyin
from tqdm import tqdm

from icefall_sampled.rejects import Rejects
from icefall_sampled.script import run_script

PREFIX = "cmn-"
SPEAKER = "tan"
_SYLLABLE = re.compile(r"[a-z]+[1-5]")

Units = Literal["syllables", "characters"]

logger = logging.getLogger(__name__)


def syllables_of(word: str) -> list[str]:
    """The toned syllables of a word in characters: 名字 -> ming2, zi4.

    Raises:
        ValueError: where pypinyin does not know all of the characters.
    """
    syllables: list[str] = lazy_pinyin(word, style=Style.TONE3, neutral_tone_with_five=True)
    if not syllables or not all(_SYLLABLE.fullmatch(syllable) for syllable in syllables):
        raise ValueError(f"the word {word!r} has no known reading")
    return syllables


def word_of(path: Path) -> str | None:
    """What is said in a file, by its name; None where the name has an ellipsis.

    Raises:
        ValueError: where the name is not of the corpus.
    """
    if not path.stem.startswith(PREFIX):
        raise ValueError(f"the name must begin with {PREFIX}")
    return None if "_" in path.stem else path.stem.removeprefix(PREFIX)


def to_manifests(path: Path, word: str, units: Units) -> tuple[Recording, SupervisionSegment]:
    """Describe a recording and the speech in it.

    Raises:
        ValueError: where it cannot be used.
    """
    syllables = " ".join(syllables_of(word))
    try:
        recording = Recording.from_file(path)
        samples = recording.load_audio()[0]
    except Exception as error:  # of several decoders, each with exceptions of its own
        raise ValueError(f"cannot be decoded ({error})") from error
    start, end = find_speech(samples, recording.sampling_rate)
    supervision = SupervisionSegment(
        id=recording.id,
        recording_id=recording.id,
        start=start,
        duration=round(end - start, 2),
        text=syllables if units == "syllables" else word,
        language="cmn",
        speaker=SPEAKER,
        custom={"word": word, "syllables": syllables},
    )
    return recording, supervision


def main(
    folder: Path,
    manifest_dir: Path,
    /,
    *,
    units: Units = "syllables",
    max_rejected_percent: float = 1.0,
) -> None:
    """Write the manifests of the words.

    Args:
        folder: where the MP3 files are.
        manifest_dir: folder to write to.
        units: what the texts are made of.
        max_rejected_percent: stop where more than this share cannot be used.
    """
    paths = recordings_in(folder.resolve())
    if not paths:
        raise ValueError(f"{folder} holds no MP3 files: run stage 0 first")
    rejects = Rejects(len(paths), max_rejected_percent)
    recordings, supervisions = [], []
    for path in tqdm(paths, desc="decoding", unit="word", disable=None):
        try:
            word = word_of(path)
            if word is not None:
                recording, supervision = to_manifests(path, word, units)
                recordings.append(recording)
                supervisions.append(supervision)
        except ValueError as error:
            rejects.add(path.stem, str(error))
    rejects.write(manifest_dir / "hsk_rejects.jsonl")
    rejects.check()
    RecordingSet.from_recordings(recordings).to_file(manifest_dir / "hsk_recordings.jsonl.gz")
    SupervisionSet.from_segments(supervisions).to_file(manifest_dir / "hsk_supervisions.jsonl.gz")
    logger.info(
        "%d words, %.2f hours, %.2f of them speech; %d without a clear text left out",
        len(recordings),
        sum(r.duration for r in recordings) / 3600,
        sum(s.duration for s in supervisions) / 3600,
        len(paths) - len(recordings) - rejects.count,
    )


if __name__ == "__main__":
    run_script(main)
