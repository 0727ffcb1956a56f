"""Stage 1: manifests of CSJ-APS: training, dev, and the three test sets.

    csj_manifests.py CORPUS MANIFEST_DIR

writes csj_recordings_{train,eval1,eval2,eval3}.jsonl.gz, csj_supervisions_{train,dev,eval1,…} and
csj_rejects_{…}.jsonl. Supervisions are utterances: csj_text.py describes how segments and tags are
converted, csj_sessions.py which session is in which set.

The utterances of the academic presentations are sorted by id. The first 4,000 are dev, as in
ESPnet's recipe; the others are train, with each text at most 300 times. The recordings of dev are
in train's manifest, and the last session of dev continues in train.

A session that cannot be used is left out by id and counted; more than `--max-rejected-percent` of
the training sessions, or of a test set's ten, stop the run. Utterances with × (hidden names) are
left out as in Kaldi's recipe, and counted in the log.
"""

from __future__ import annotations

import logging
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from csj_sessions import Session, find_sessions, read_session
from csj_text import HIDDEN, connect, without_repetitions
from lhotse import Recording, RecordingSet, SupervisionSegment, SupervisionSet
from tqdm import tqdm

from icefall_sampled.cli import UserError, run_script
from icefall_sampled.data.rejects import Rejects
from icefall_sampled.jobs import check_num_jobs

PAPER_HOURS = 271

logger = logging.getLogger(__name__)


def read_or_reason(
    session: Session,
) -> tuple[Recording, list[SupervisionSegment], list[str]] | str:
    """A session's recording, its utterances and warnings, or the reason why it has none."""
    try:
        recording, segments, warnings = read_session(session)
    except (ValueError, OSError) as error:
        return str(error)
    return recording, list(connect(segments)), warnings


def read_part(
    sessions: list[Session], part: str, *, num_jobs: int, rejects: Rejects
) -> tuple[list[Recording], list[SupervisionSegment]]:
    """The recordings of a set and its utterances, sorted by id."""
    recordings, utterances = [], []
    bar = tqdm(sessions, desc=part, unit="session", leave=False, disable=None)
    with ProcessPoolExecutor(num_jobs) as pool:
        for session, result in zip(bar, pool.map(read_or_reason, sessions), strict=True):
            if isinstance(result, str):
                rejects.add(session.name, result)
                continue
            recording, found, warnings = result
            for warning in warnings:
                logger.warning("%s", warning)
            recordings.append(recording)
            utterances += found
    kept = sorted((u for u in utterances if HIDDEN not in u.text), key=lambda u: u.id)
    logger.info(
        "%s: %d sessions, %.2f hours; %d utterances, %.2f hours of them; %d with %s left out",
        *(part, len(recordings), sum(r.duration for r in recordings) / 3600),
        *(len(kept), sum(u.duration for u in kept) / 3600, len(utterances) - len(kept), HIDDEN),
    )
    return recordings, kept


def split_dev(
    utterances: list[SupervisionSegment], *, size: int, max_repetitions: int
) -> dict[str, list[SupervisionSegment]]:
    """The utterances of dev and of train.

    Raises:
        UserError: if no training utterances would remain.
    """
    if not 0 < size < len(utterances):
        raise UserError(
            f"--dev-utterances is {size}, it must be at least 1 and less than the "
            f"{len(utterances)} utterances there are"
        )
    rest = utterances[size:]
    train = list(without_repetitions(rest, limit=max_repetitions))
    logger.info(
        "dev: %d utterances; train: %d, %d more said the same as %d others",
        *(size, len(train), len(rest) - len(train), max_repetitions),
    )
    return {"dev": utterances[:size], "train": train}


def main(
    corpus: Path,
    manifest_dir: Path,
    /,
    *,
    dev_utterances: int = 4000,
    max_repetitions: int = 300,
    num_jobs: int = 2,
    max_rejected_percent: float = 1.0,
) -> None:
    """Write the manifests of CSJ-APS.

    Args:
        corpus: folder with MORPH and WAV in it.
        manifest_dir: folder to write to.
        dev_utterances: how many of the first utterances are dev.
        max_repetitions: how many training utterances may have the same text.
        num_jobs: number of processes.
        max_rejected_percent: stop if more than this share of a set's sessions cannot be used.
    """
    check_num_jobs(num_jobs)
    manifest_dir.mkdir(parents=True, exist_ok=True)
    supervisions: dict[str, list[SupervisionSegment]] = {}
    for part, sessions in find_sessions(corpus.resolve()).items():
        rejects = Rejects(len(sessions), max_rejected_percent)
        recordings, supervisions[part] = read_part(
            sessions, part, num_jobs=num_jobs, rejects=rejects
        )
        rejects.write(manifest_dir / f"csj_rejects_{part}.jsonl")
        rejects.check()
        path = manifest_dir / f"csj_recordings_{part}.jsonl.gz"
        RecordingSet.from_recordings(recordings).to_file(path)
    logger.info("the academic presentations of the paper are %d hours", PAPER_HOURS)
    supervisions |= split_dev(
        supervisions["train"], size=dev_utterances, max_repetitions=max_repetitions
    )
    for part, utterances in supervisions.items():
        path = manifest_dir / f"csj_supervisions_{part}.jsonl.gz"
        SupervisionSet.from_segments(utterances).to_file(path)


if __name__ == "__main__":
    run_script(main)
