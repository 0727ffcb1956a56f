"""Stage 1: manifests of the parts of LibriSpeech, read line by line by lhotse's own parser.

    librispeech_manifests.py CORPUS MANIFEST_DIR --parts train-clean-100 dev-clean

lhotse's `prepare_librispeech` stops at a file that cannot be read, and only warns of a missing one.
Here both are left out by id, as are lines without text and audio without a line; more than
`--max-rejected-percent` of a part stop the run.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from lhotse import (
    Recording,
    RecordingSet,
    SupervisionSegment,
    SupervisionSet,
    validate_recordings_and_supervisions,
)
from lhotse.recipes.librispeech import parse_utterance
from tqdm import tqdm

from icefall_sampled.cli import run_script
from icefall_sampled.data.rejects import Rejects
from icefall_sampled.errors import UserError, unreadable
from icefall_sampled.files import read_text
from icefall_sampled.jobs import check_num_jobs

logger = logging.getLogger(__name__)

Parsed = tuple[Recording, SupervisionSegment]


def transcript_lines(part: Path) -> Iterator[str]:
    """All lines of a part's transcripts, in the order of the file names."""
    for path in sorted(part.rglob("*.trans.txt")):
        yield from (line for line in read_text(path).splitlines() if line.strip())


def parse(line: str, part: Path) -> Parsed | str:
    """The recording and the supervision of a line, or the reason why it has none."""
    if len(line.split(maxsplit=1)) < 2:
        return "line without text"
    try:
        parsed: Parsed | None = parse_utterance(part, line, {})
    except Exception as error:  # a broken file makes a codec raise anything
        return unreadable(error)
    return "no audio" if parsed is None else parsed


def read_part(part: Path, *, num_jobs: int, limit_percent: float) -> tuple[list[Parsed], Rejects]:
    """The usable utterances of a part, and the rejected ones.

    Raises:
        UserError: if there is no such part.
    """
    lines = {line.split(maxsplit=1)[0]: line for line in transcript_lines(part)}
    if not lines:
        raise UserError(f"{part} has no transcripts, it must be a part of LibriSpeech")
    audio = {path.stem for path in part.rglob("*.flac")}
    rejects = Rejects(len(lines.keys() | audio), limit_percent)
    usable = []
    with ThreadPoolExecutor(num_jobs) as pool:
        results = pool.map(partial(parse, part=part), lines.values())
        bar = tqdm(lines, desc=part.name, unit="utt", leave=False, disable=None)
        for utterance_id, result in zip(bar, results, strict=True):
            if isinstance(result, str):
                rejects.add(utterance_id, result)
            else:
                usable.append(result)
    for utterance_id in sorted(audio - lines.keys()):
        rejects.add(utterance_id, "audio without a transcript")
    return usable, rejects


def main(
    corpus: Path,
    manifest_dir: Path,
    /,
    *,
    parts: tuple[str, ...],
    num_jobs: int = 2,
    max_rejected_percent: float = 1.0,
) -> None:
    """Write the manifests of the parts of LibriSpeech.

    Args:
        corpus: the folder `LibriSpeech`.
        manifest_dir: folder to write.
        parts: parts of the corpus.
        num_jobs: number of threads.
        max_rejected_percent: stop if more than this share of a part cannot be used.
    """
    check_num_jobs(num_jobs)
    for name in parts:
        usable, rejects = read_part(
            corpus.resolve() / name, num_jobs=num_jobs, limit_percent=max_rejected_percent
        )
        rejects.write(manifest_dir / f"librispeech_rejects_{name}.jsonl")
        rejects.check()
        recordings = RecordingSet.from_recordings(recording for recording, _ in usable)
        supervisions = SupervisionSet.from_segments(segment for _, segment in usable)
        validate_recordings_and_supervisions(recordings, supervisions)
        recordings.to_file(manifest_dir / f"librispeech_recordings_{name}.jsonl.gz")
        supervisions.to_file(manifest_dir / f"librispeech_supervisions_{name}.jsonl.gz")
        logger.info("%s: %d utterances", name, len(usable))


if __name__ == "__main__":
    run_script(main)
