"""Stage 1: lhotse manifests with a recording and a supervision for each word.

    DATA_DIR/manifests/hsk_recordings.jsonl.gz
    DATA_DIR/manifests/hsk_supervisions.jsonl.gz
    DATA_DIR/manifests/hsk_rejects.jsonl            files that could not be used

The recordings are the original MP3 files; a supervision's start and duration exclude the silence
before and after the word. Its text is the syllables of pypinyin's reading, separated by spaces:
`ming2 zi4`, with the tone as a digit, 5 for the neutral tone, and v for ü. Tone sandhi (一, 不, two
third tones) is not applied: tones are those of the dictionary. With `--units characters` the text
is the word in characters. In both cases the custom fields have both, as `word` and `syllables`.

A file's name is its text: cmn-名字.mp3. Names with `_`, an ellipsis, are left out without counting
as rejects: it is unknown whether something is said there or there is a pause.
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

from icefall_sampled.cli import UserError, run_script
from icefall_sampled.data.rejects import Rejects

PREFIX = "cmn-"
SPEAKER = "tan"
_SYLLABLE = re.compile(r"[a-z]+[1-5]")

Units = Literal["syllables", "characters"]

logger = logging.getLogger(__name__)


def syllables_of(word: str) -> list[str]:
    """The toned syllables of a word in characters: 名字 -> ming2, zi4.

    Raises:
        UserError: if pypinyin does not know all of the characters.
    """
    syllables: list[str] = lazy_pinyin(word, style=Style.TONE3, neutral_tone_with_five=True)
    if not syllables or not all(_SYLLABLE.fullmatch(syllable) for syllable in syllables):
        raise UserError(f"the word {word!r} has no known reading")
    return syllables


def word_of(path: Path) -> str | None:
    """The word in a file, by its name; None if the name has an ellipsis.

    Raises:
        UserError: if it is not a name of the corpus.
    """
    if not path.stem.startswith(PREFIX):
        raise UserError(f"the name must begin with {PREFIX}")
    return None if "_" in path.stem else path.stem.removeprefix(PREFIX)


def to_manifests(path: Path, word: str, units: Units) -> tuple[Recording, SupervisionSegment]:
    """Describe a recording and the speech in it.

    Raises:
        UserError: if it cannot be used.
    """
    syllables = " ".join(syllables_of(word))
    try:
        recording = Recording.from_file(path)
        samples = recording.load_audio()[0]
    except Exception as error:  # several decoders with different exceptions
        raise UserError(f"cannot be decoded ({error})") from error
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
        folder: folder of the MP3 files.
        manifest_dir: folder to write to.
        units: the units of the texts.
        max_rejected_percent: stop if more than this share cannot be used.
    """
    paths = recordings_in(folder.resolve())
    if not paths:
        raise UserError(f"{folder} holds no MP3 files: run stage 0 first")
    rejects = Rejects(len(paths), max_rejected_percent)
    recordings, supervisions = [], []
    for path in tqdm(paths, desc="decoding", unit="word", disable=None):
        try:
            word = word_of(path)
            if word is not None:
                recording, supervision = to_manifests(path, word, units)
                recordings.append(recording)
                supervisions.append(supervision)
        except UserError as error:
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
