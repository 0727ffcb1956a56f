"""Stage 1: manifests of the usable utterances of AISHELL-1, by lhotse's own recipe.

    aishell_manifests.py CORPUS MANIFEST_DIR

writes aishell_recordings_{train,dev,test}.jsonl.gz, aishell_supervisions_{…}.jsonl.gz and
aishell_rejects_{…}.jsonl. Texts have no spaces: lhotse removes those between words (词).

lhotse's `prepare_aishell` stops at audio that cannot be read, only warns of audio without a
transcript (0.2 % of the corpus), and ignores a transcript without audio. Here all three are left
out by id and counted; more than `--max-rejected-percent` of a set stop the run. lhotse then reads a
folder of links to the usable files. Manifests have absolute paths into the corpus.
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import soundfile
from lhotse import Recording
from lhotse.recipes.aishell import prepare_aishell
from lhotse.utils import fastcopy
from tqdm import tqdm

from icefall_sampled.cli import UserError, run_script
from icefall_sampled.data.rejects import Rejects
from icefall_sampled.files import read_text

PARTS = ("train", "dev", "test")
TRANSCRIPT = Path("data_aishell/transcript/aishell_transcript_v0.8.txt")
WAV = Path("data_aishell/wav")

logger = logging.getLogger(__name__)


def read_transcript(path: Path) -> dict[str, str]:
    """The words of each utterance, by its id; "" if the line has none."""
    rows = (line.split(maxsplit=1) for line in read_text(path).splitlines())
    return {row[0]: row[1].strip() if len(row) == 2 else "" for row in rows if row}


def find_audio(corpus: Path) -> dict[str, dict[str, Path]]:
    """The WAV files of each set, by utterance.

    Raises:
        UserError: if a set has none, or there is no transcript.
    """
    audio = {}
    for part in PARTS:
        audio[part] = {path.stem: path for path in sorted((corpus / WAV / part).rglob("*.wav"))}
        if not audio[part]:
            raise UserError(f"CORPUS is {corpus}, it must have audio in {WAV / part}")
    if not (corpus / TRANSCRIPT).is_file():
        raise UserError(f"CORPUS is {corpus}, it must have {TRANSCRIPT}")
    return audio


def parts_of_speakers(audio: dict[str, dict[str, Path]]) -> dict[str, str]:
    """The set of each speaker: a speaker has a folder in exactly one set."""
    return {path.parent.name: part for part, files in audio.items() for path in files.values()}


def why_unreadable(path: Path) -> str | None:
    """The fault of a file's header; None if it has none."""
    try:
        frames = soundfile.info(str(path)).frames
    except (soundfile.LibsndfileError, OSError) as error:
        return f"unreadable: {error}"
    return None if frames else "unreadable: it holds no samples"


def choose(
    audio: dict[str, dict[str, Path]], texts: dict[str, str], *, limit_percent: float
) -> tuple[dict[str, Path], dict[str, Rejects]]:
    """The audio of the usable utterances, and the rejected utterances of each set."""
    speakers = parts_of_speakers(audio)
    silent: dict[str, list[str]] = {part: [] for part in PARTS}
    for utterance_id in sorted(texts.keys() - {name for files in audio.values() for name in files}):
        # BAC009S0002W0122 is by speaker S0002; a speaker without a folder counts as training.
        silent[speakers.get(utterance_id[6:11], PARTS[0])].append(utterance_id)
    usable, rejects = {}, {}
    for part, files in audio.items():
        left_out = rejects[part] = Rejects(len(files) + len(silent[part]), limit_percent)
        for utterance_id in silent[part]:
            left_out.add(utterance_id, "transcript without audio")
        for utterance_id, path in tqdm(files.items(), desc=part, leave=False, disable=None):
            reason = why_unreadable(path) if texts.get(utterance_id) else "audio without transcript"
            if reason:
                left_out.add(utterance_id, reason)
            else:
                usable[utterance_id] = path
    return usable, rejects


def prepare(corpus: Path, usable: dict[str, Path], texts: dict[str, str]) -> dict[str, Any]:
    """Manifests by lhotse of a folder with only these utterances."""
    with tempfile.TemporaryDirectory() as folder:
        view = Path(folder)
        for path in usable.values():
            link = view / path.relative_to(corpus)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
        transcript = view / TRANSCRIPT
        transcript.parent.mkdir()
        lines = [f"{utterance_id} {texts[utterance_id]}\n" for utterance_id in usable]
        transcript.write_text("".join(lines), encoding="utf-8")
        manifests: dict[str, Any] = prepare_aishell(view)
        for both in manifests.values():
            both["recordings"] = both["recordings"].map(without_links)
    return manifests


def without_links(recording: Recording) -> Recording:
    """The recording with its source's link replaced by the file."""
    sources = [fastcopy(source, source=os.readlink(source.source)) for source in recording.sources]
    return fastcopy(recording, sources=sources)


def main(corpus: Path, manifest_dir: Path, /, *, max_rejected_percent: float = 1.0) -> None:
    """Write the manifests of the three sets.

    Args:
        corpus: folder with `data_aishell` in it.
        manifest_dir: folder to write to.
        max_rejected_percent: stop if more than this share of a set cannot be used.
    """
    corpus = corpus.resolve()
    audio = find_audio(corpus)
    texts = read_transcript(corpus / TRANSCRIPT)
    usable, rejects = choose(audio, texts, limit_percent=max_rejected_percent)
    for part in PARTS:
        rejects[part].write(manifest_dir / f"aishell_rejects_{part}.jsonl")
    for part in PARTS:
        rejects[part].check()
    for part, both in prepare(corpus, usable, texts).items():
        for kind, manifest in both.items():
            manifest.to_file(manifest_dir / f"aishell_{kind}_{part}.jsonl.gz")
        logger.info("%s: %d utterances", part, len(both["supervisions"]))


if __name__ == "__main__":
    run_script(main)
