"""The sessions of each set of CSJ, their files, and reading one with lhotse's parser.

A session is a talk: MORPH/SDB/{core,noncore}/<ID>.sdb has its words, WAV/{core,noncore}/<ID>.wav
its audio. IDs that begin with A are academic presentations (学会講演).

lhotse reads the whole corpus at once: it stops if one file is missing, also of sessions that are
not part of CSJ-APS, and loses the last segment of an sdb file that does not end with a newline.
Here it reads one session at a time, in a folder of its own with the layout that
`prepare_manifests` expects; a missing newline is added in that copy alone, with a warning.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lhotse import Recording, SupervisionSegment
from lhotse.recipes.csj import prepare_manifests

from icefall_sampled.errors import UserError

SDB = Path("MORPH/SDB")
WAV = Path("WAV")
TRAINING = "A"
"""Prefix of the IDs of academic presentations."""

# The test sets of the corpus, as in Kaldi and ESPnet. Kaldi also leaves out six sessions of
# the speaker of A01M0056; none of them is an academic presentation.
TEST_SETS = {
    "eval1": "A01M0110 A01M0137 A01M0097 A04M0123 A04M0121 A04M0051 A03M0156 A03M0112 A03M0106 "
    "A05M0011",
    "eval2": "A01M0056 A03F0072 A02M0012 A03M0016 A06M0064 A06F0135 A01F0034 A01F0063 A01F0001 "
    "A01M0141",
    "eval3": "S00M0112 S00F0066 S00M0213 S00F0019 S00M0079 S01F0105 S00F0152 S00M0070 S00M0008 "
    "S00F0148",
}


@dataclass(frozen=True, kw_only=True)
class Session:
    """The files of a talk."""

    name: str
    sdb: Path | None
    wav: Path | None


def find_sessions(corpus: Path) -> dict[str, list[Session]]:
    """The sessions of training and of each test set, by name, also if files are missing.

    Raises:
        UserError: if the folder is not CSJ.
    """
    texts = {path.stem: path for path in sorted((corpus / SDB).rglob("*.sdb"))}
    audio = {path.stem: path for path in sorted((corpus / WAV).rglob("*.wav"))}
    for files, where in ((texts, SDB / "{core,noncore}/*.sdb"), (audio, WAV / "*/*.wav")):
        if not files:
            raise UserError(f"CORPUS is {corpus}, it must hold CSJ: there is no {where}")
    names = {part: sorted(listed.split()) for part, listed in TEST_SETS.items()}
    tests = {name for listed in names.values() for name in listed}
    names["train"] = sorted(
        name for name in texts.keys() | audio.keys() if name[0] == TRAINING and name not in tests
    )
    return {
        part: [Session(name=n, sdb=texts.get(n), wav=audio.get(n)) for n in listed]
        for part, listed in names.items()
    }


def read_session(session: Session) -> tuple[Recording, list[SupervisionSegment], list[str]]:
    """The recording of a session, its segments, and warnings.

    Raises:
        UserError: if a file is missing or damaged.
    """
    if session.sdb is None:
        raise UserError(f"there is no {session.name}.sdb")
    if session.wav is None:
        raise UserError(f"there is no {session.name}.wav")
    transcript = session.sdb.read_bytes()
    warnings = []
    if not transcript.endswith(b"\n"):
        transcript += b"\n"
        warnings.append(f"{session.sdb} does not end with a newline, as if it had been cut off")
    with tempfile.TemporaryDirectory() as folder:
        only = Path(folder) / "part" / session.name
        only.mkdir(parents=True)
        (only / f"{session.name}.sdb").write_bytes(transcript)
        (only / f"{session.name}-wav.list").write_text(str(session.wav.resolve()))
        try:
            manifests = _prepare(Path(folder))
        except Exception as error:  # from assertions, missing columns, or codecs
            raise UserError(f"lhotse cannot read it: {type(error).__name__}: {error}") from error
    recordings, segments = list(manifests["recordings"]), list(manifests["supervisions"])
    if not segments:
        raise UserError("it has no segment with text")
    return recordings[0], segments, warnings


def _prepare(folder: Path) -> dict[str, object]:
    """Manifests by lhotse of the one session in a folder, without its messages."""
    level = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return prepare_manifests(folder, dataset_parts="part")["part"]
    finally:
        logging.disable(level)
