"""JSON lines of hypotheses, read back as NeMo and as lhotse read a manifest."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.cut import Cut
from lhotse.serialization import load_jsonl
from lhotse.supervision import AlignmentItem

from icefall_sampled.decoding import Hypothesis
from icefall_sampled.decoding.jsonl import Decoded, Place, place_of, write_jsonl
from icefall_sampled.tokens import CharTokens
from tests.support.corpus import make_cuts, write_tokens

NOWHERE = Place(audio=None, offset_seconds=0.0, duration_seconds=1.5)


@pytest.fixture
def tokens(tmp_path: Path) -> CharTokens:
    return CharTokens(write_tokens(tmp_path / "lang", "abc語") / "tokens.txt")


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """Two seconds that rise, so that each moment is known by its value."""
    path = tmp_path / "audio.wav"
    soundfile.write(path, np.linspace(0.0, 0.9, 32_000), 16_000, subtype="PCM_16")
    return Recording.from_file(path)


def cut_of(recording: Recording, *, start: float = 0.25, duration: float = 1.5) -> MonoCut:
    return MonoCut(
        id="u", start=start, duration=duration, channel=0, recording=recording,
        supervisions=[SupervisionSegment("u", recording.id, 0.0, duration, text="ab c")],
    )  # fmt: skip


def best() -> Hypothesis:
    return Hypothesis(
        tokens=[2, 5], frames=[3, 30], token_log_probs=[math.log(0.5), math.log(0.125)],
        log_prob=-3.0,
    )  # fmt: skip


def test_a_line_has_all_that_was_recognised(tmp_path: Path, tokens: CharTokens) -> None:
    nbest = [best(), Hypothesis(log_prob=-4.0)]
    rows = [Decoded(id="u2", text="a", nbest=nbest), Decoded(id="u1", text="", nbest=nbest[1:])]
    path = tmp_path / "hyps.jsonl"
    write_jsonl(path, rows, {"u1": NOWHERE, "u2": NOWHERE}, tokens, frame_seconds=0.04)
    assert "語" in path.read_text(encoding="utf-8")
    silent, said = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    assert said == {
        "id": "u2", "audio_filepath": None, "offset": 0.0, "duration": 1.5,
        "text": "a", "pred_text": "a語", "confidence": 0.25, "log_prob": -3.0,
        "tokens": [
            {"token": "a", "start": 0.12, "log_prob": -0.6931},
            {"token": "語", "start": 1.2, "log_prob": -2.0794},
        ],
        "nbest": [
            {"text": "a語", "log_prob": -3.0, "confidence": 0.25},
            {"text": "", "log_prob": -4.0, "confidence": round(math.exp(-4.0), 4)},
        ],
    }  # fmt: skip
    assert (silent["id"], silent["pred_text"], silent["tokens"]) == ("u1", "", [])


def test_lhotse_finds_the_audio_of_a_line(
    tmp_path: Path, tokens: CharTokens, recording: Recording
) -> None:
    cut = cut_of(recording)
    path = tmp_path / "hyps.jsonl"
    decoded = [Decoded(id="u", text="ab c", nbest=[best()])]
    write_jsonl(path, decoded, {"u": place_of(cut)}, tokens, frame_seconds=0.04)
    CutSet.from_cuts(_cuts_of(path)).to_file(tmp_path / "again.jsonl.gz")
    (again,) = CutSet.from_file(tmp_path / "again.jsonl.gz")
    np.testing.assert_array_equal(again.load_audio(), cut.load_audio())
    (said,) = again.supervisions
    assert said.text == "a語"
    assert said.custom == {"reference": "ab c"}
    assert [(item.symbol, item.start) for item in said.alignment["token"]] == [
        ("a", 0.12), ("語", 1.2),
    ]  # fmt: skip


def _cuts_of(path: Path) -> list[MonoCut]:
    """What a user of lhotse writes to go on with the hypotheses."""
    cuts = []
    for row in load_jsonl(path):
        segment = SupervisionSegment(
            row["id"], row["id"], 0.0, row["duration"], text=row["pred_text"],
            custom={"reference": row["text"]},
            alignment={
                "token": [AlignmentItem(t["token"], t["start"], 0.04) for t in row["tokens"]]
            },
        )  # fmt: skip
        cuts.append(
            MonoCut(
                id=row["id"],
                start=row["offset"],
                duration=row["duration"],
                channel=0,
                recording=Recording.from_file(row["audio_filepath"], recording_id=row["id"]),
                supervisions=[segment],
            )
        )
    return cuts


def test_a_relative_path_is_made_absolute(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = place_of(cut_of(Recording.from_file(Path("audio.wav"))))
    assert place == Place(
        audio=str(tmp_path / "audio.wav"), offset_seconds=0.25, duration_seconds=1.5
    )


def test_audio_that_is_not_one_stretch_of_a_file_is_left_out(
    recording: Recording, tmp_path: Path
) -> None:
    in_memory = recording.move_to_memory(format="wav")
    one = cut_of(recording)
    features_alone = make_cuts(tmp_path / "feats", "x", 1, seed=0)[0]
    others: list[Cut] = [
        cut_of(in_memory), one.perturb_speed(1.1), one.append(one), one.pad(2.0), features_alone,
    ]  # fmt: skip
    for cut in others:
        assert place_of(cut) == Place(audio=None, offset_seconds=0.0, duration_seconds=cut.duration)
    stretch = one.truncate(offset=0.5, duration=0.25)
    assert place_of(stretch) == Place(
        audio=str(tmp_path / "audio.wav"), offset_seconds=0.75, duration_seconds=0.25
    )
