"""Break a miniature as real corpora are broken.

remove_audio(corpus, name)                 a transcript whose audio is missing
add_line_without_audio(corpus)             a line of an utterance that was never recorded
drop_last_newline(corpus, session)         a CSJ transcript whose last segment lhotse loses
remove_session(corpus, session)            a CSJ session missing, transcript and audio
"""

from __future__ import annotations

from pathlib import Path

from tests.replicas import aishell


def remove_audio(corpus: Path, name: str) -> Path:
    """Delete the audio of an utterance, or of a session of CSJ; return where it was.

    Args:
        corpus: The path from `make`.
        name: The file's name without suffix, e.g. `19-198-0000` or `D01M0019-L`.
    """
    path = _only(corpus, [*corpus.rglob(f"{name}.wav"), *corpus.rglob(f"{name}.flac")], name)
    path.unlink()
    return path


def add_line_without_audio(corpus: Path) -> str:
    """Add a line to LibriSpeech's or AISHELL's training transcript; return the utterance's id."""
    transcript = corpus / aishell.TRANSCRIPT
    text = "没有 录音"
    if not transcript.exists():
        transcript = min(corpus.glob("train-clean-100/*/*/*.trans.txt"))
        text = "NOBODY RECORDED THIS"
    last = transcript.read_text(encoding="utf-8").splitlines()[-1].split()[0]
    utterance_id = f"{last[:-4]}9999"
    with transcript.open("a", encoding="utf-8") as file:
        file.write(f"{utterance_id} {text}\n")
    return utterance_id


def drop_last_newline(corpus: Path, session: str) -> Path:
    """End a CSJ transcript without a newline, as some editors do; return its path."""
    path = _only(corpus, list(corpus.glob(f"MORPH/SDB/*/{session}.sdb")), session)
    content = path.read_bytes()
    assert content.endswith(b"\n"), f"{path} ends without a newline already"
    path.write_bytes(content.rstrip(b"\n"))
    return path


def remove_session(corpus: Path, session: str) -> None:
    """Delete a CSJ session's transcript and audio."""
    transcripts = list(corpus.glob(f"MORPH/SDB/*/{session}.sdb"))
    _only(corpus, transcripts, session).unlink()
    for path in [*corpus.glob(f"WAV/*/{session}.wav"), *corpus.glob(f"WAV/*/{session}-?.wav")]:
        path.unlink()


def _only(corpus: Path, found: list[Path], name: str) -> Path:
    if len(found) != 1:
        raise ValueError(
            f"name must be of one file in {corpus}, and is {name}: {len(found)} found."
        )
    return found[0]
