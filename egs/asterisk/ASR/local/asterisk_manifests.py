"""Stage 1: lhotse manifests with one recording and one supervision a prompt, and the split.

The raw G.722 is decoded once into 16 kHz WAV files, so that every reader of lhotse's manifests can
read these. For each language LL the result is

    DATA_DIR/audio/LL/ID.wav
    DATA_DIR/manifests/asterisk_recordings_LL.jsonl.gz
    DATA_DIR/manifests/asterisk_supervisions_LL.jsonl.gz
    DATA_DIR/manifests/asterisk_rejects_LL.jsonl         prompts that could not be read

A supervision's custom fields have the prompt's id (`prompt`) and whether it is held out from
training (`held_out`). A hash of the text decides, so recordings of the same words are on the same
side of the split, and neither another seed nor new prompts move one.

Prompts are left out without counting as rejects if they have no words (tones, silence), were never
published as audio, or are longer than `--max-seconds`.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
from asterisk_download import local_path, read_checksums
from asterisk_texts import prompt_texts, split_languages
from lhotse import AudioSource, Recording, RecordingSet, SupervisionSegment, SupervisionSet
from tqdm import tqdm

from icefall_sampled.audio import SAMPLING_RATE
from icefall_sampled.cli import UserError, run_script
from icefall_sampled.data.rejects import Rejects
from icefall_sampled.files import replacing

HELD_OUT_PERCENT = 10
SPEAKERS = {"en": "allison", "es": "allison", "fr": "june", "it": "carlo", "ru": "ivrvoice"}
_CHECKSUMS = Path(__file__).with_name("checksums")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt with both words and audio."""

    prompt_id: str
    text: str
    audio: Path


def is_held_out(text: str, language: str, *, percent: int = HELD_OUT_PERCENT) -> bool:
    """Whether a text is held out from training; always the same `percent` of all texts."""
    digest = hashlib.sha256(f"{language}:{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 100 < percent


def utterance_id(language: str, prompt_id: str) -> str:
    """`en`, `digits/7` -> `en-digits-7`. No underscore: lhotse marks copies by `_sp0.9`."""
    return f"{language}-{prompt_id}".replace("/", "-").replace("_", "-")


def spoken_prompts(folder: Path, language: str, published: list[str]) -> list[Prompt]:
    """The prompts of a language that have words and were published as audio, by id.

    Ids are matched without regard to case: the lists have letters/O for the file letters/o.
    """
    names = {name.removesuffix(".g722").lower(): name for name in published}
    texts = prompt_texts(folder / f"core-sounds-{language}.txt", language)
    prompts, silent, unpublished = [], 0, 0
    for prompt_id, text in sorted(texts.items()):
        name = names.get(prompt_id.lower())
        if not text:
            silent += 1
        elif name is None:
            unpublished += 1
        else:
            audio = local_path(folder, name)
            prompts.append(Prompt(prompt_id=name.removesuffix(".g722"), text=text, audio=audio))
    logger.info(
        "%s: %d prompts with words; %d without words, %d without audio, %d without text left out",
        *(language, len(prompts), silent, unpublished),
        len(names) - len(prompts) - silent,
    )
    return prompts


def decode_g722(path: Path) -> np.ndarray:
    """The samples of a raw G.722 file, (num_samples,) int16 at 16 kHz.

    Raises:
        UserError: if nothing in it can be decoded.
    """
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLING_RATE)
    blocks: list[np.ndarray] = []
    try:
        with av.open(str(path), format="g722") as container:
            for frame in container.decode(audio=0):
                blocks += [block.to_ndarray()[0] for block in resampler.resample(frame)]
        blocks += [block.to_ndarray()[0] for block in resampler.resample(None)]
    except (av.FFmpegError, OSError, IndexError) as error:
        raise UserError(f"cannot be decoded ({error})") from error
    samples = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.int16)
    if not samples.any():
        raise UserError("holds no sound")
    return samples


def write_wav(path: Path, samples: np.ndarray) -> None:
    """Write a 16-bit WAV file atomically."""
    with replacing(path) as temporary:
        soundfile.write(temporary, samples, SAMPLING_RATE, format="WAV", subtype="PCM_16")


def to_manifests(
    prompt: Prompt, language: str, audio_dir: Path
) -> tuple[Recording, SupervisionSegment]:
    """Decode a prompt and describe it; raises UserError if its audio is unreadable."""
    samples = decode_g722(prompt.audio)
    wav = audio_dir / f"{prompt.prompt_id}.wav"
    write_wav(wav, samples)
    name = utterance_id(language, prompt.prompt_id)
    duration = len(samples) / SAMPLING_RATE
    recording = Recording(
        id=name,
        sources=[AudioSource(type="file", channels=[0], source=str(wav))],
        sampling_rate=SAMPLING_RATE,
        num_samples=len(samples),
        duration=duration,
    )
    supervision = SupervisionSegment(
        id=name,
        recording_id=name,
        start=0.0,
        duration=duration,
        text=prompt.text,
        language=language,
        speaker=SPEAKERS[language],
        custom={"prompt": prompt.prompt_id, "held_out": is_held_out(prompt.text, language)},
    )
    return recording, supervision


def prepare_language(
    language: str,
    folder: Path,
    data_dir: Path,
    *,
    published: list[str],
    max_seconds: float,
    max_rejected_percent: float,
) -> None:
    """Write the manifests of one language.

    Args:
        language: one of the five.
        folder: its files from stage 0.
        data_dir: folder for audio and manifests.
        published: the names of its audio files.
        max_seconds: longer prompts are left out.
        max_rejected_percent: share of the prompts that may be unreadable.

    Raises:
        TooManyRejects: if more than the limit could not be read.
    """
    prompts = spoken_prompts(folder, language, published)
    rejects = Rejects(len(prompts), max_rejected_percent)
    recordings, supervisions, too_long = [], [], 0
    for prompt in tqdm(prompts, desc=f"decoding {language}", unit="prompt", disable=None):
        try:
            pair = to_manifests(prompt, language, data_dir.resolve() / "audio" / language)
        except UserError as error:
            rejects.add(utterance_id(language, prompt.prompt_id), str(error))
            continue
        if pair[0].duration > max_seconds:
            too_long += 1
            continue
        recordings.append(pair[0])
        supervisions.append(pair[1])
    rejects.write(data_dir / "manifests" / f"asterisk_rejects_{language}.jsonl")
    rejects.check()
    _save(RecordingSet.from_recordings(recordings), data_dir, f"recordings_{language}")
    _save(SupervisionSet.from_segments(supervisions), data_dir, f"supervisions_{language}")
    held_out = sum(s.custom["held_out"] for s in supervisions)
    logger.info(
        "%s: %d prompts, %.1f minutes, %d of them held out; %d longer than %g s left out",
        *(language, len(recordings), sum(r.duration for r in recordings) / 60),
        *(held_out, too_long, max_seconds),
    )


def _save(manifest: RecordingSet | SupervisionSet, data_dir: Path, name: str) -> None:
    path = data_dir / "manifests" / f"asterisk_{name}.jsonl.gz"
    with replacing(path) as temporary:
        manifest.to_file(temporary)


def main(
    *,
    langs: str = "en",
    download_dir: Path = Path("download"),
    data_dir: Path = Path("data"),
    max_seconds: float = 20.0,
    max_rejected_percent: float = 1.0,
) -> None:
    """Decode the prompts and write their manifests.

    Args:
        langs: any of en es fr it ru, separated by spaces, or all.
        download_dir: folder of the files from stage 0.
        data_dir: folder for audio and manifests.
        max_seconds: prompts longer than this are left out of every set.
        max_rejected_percent: stop if more than this share of a language cannot be read.
    """
    for language in split_languages(langs):
        folder = download_dir / language
        if not folder.is_dir():
            raise UserError(f"{folder} is not there: run stage 0 for {language} first")
        names = read_checksums(_CHECKSUMS / f"{language}.sha256")
        prepare_language(
            language,
            folder,
            data_dir,
            published=[name for name in names if name.endswith(".g722")],
            max_seconds=max_seconds,
            max_rejected_percent=max_rejected_percent,
        )


if __name__ == "__main__":
    run_script(main)
