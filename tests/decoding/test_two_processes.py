"""Two processes over gloo decode what one does, and one of them writes and prints it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import local.to_shar as to_shar
from icefall_sampled.training import train
from tests.support.corpus import make_cuts, write_corpus, write_cuts
from tests.support.recipes import ASTERISK, run
from tests.support.tiny import changed, plain, tiny_config

TORCHRUN = ("-m", "icefall_sampled.torchrun", "--standalone", "--nproc_per_node", "2")
MANIFEST = "fbank/asterisk_cuts_{}.jsonl.gz"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that recognises some letters, three sets, one with a hole, and the same as Shar.

    It must be sure of what it emits: rounding differs between batches and decides near ties.
    """
    folder = tmp_path_factory.mktemp("two")
    corpus = write_corpus(folder / "corpus")
    config = changed(
        plain(tiny_config(corpus, folder / "exp")),
        data={"max_duration_seconds": 20.0},
        optimizer={"warmup_steps": 20},
        training={"max_steps": 90, "checkpoint_every_steps": 90},
    )
    train(config)
    for number, name in enumerate(("dev", "test-announce", "test-unseen")):
        # Of the last set there is a single utterance, and nothing for the second process.
        cuts = make_cuts(folder / "feats", name, (13, 20, 1)[number], seed=number)
        manifest = write_cuts(folder / "data" / MANIFEST.format(name), cuts)
        to_shar.main(manifest, folder / "shar" / MANIFEST.format(name), shard_size=4, lossless=True)
    (folder / "feats/test-announce-004.npy").unlink()
    return folder


class Figures:
    """Numbers that are equal to those of others but for rounding."""

    def __init__(self, lines: str) -> None:
        self.texts: list[object] = []
        self.numbers: list[float] = []
        for line in lines.splitlines():
            self._take(json.loads(line))

    def _take(self, value: object) -> None:
        if isinstance(value, float):
            self.numbers.append(value)
        elif isinstance(value, dict | list):
            self.texts.append(list(value) if isinstance(value, dict) else len(value))
            for part in value.values() if isinstance(value, dict) else value:
                self._take(part)
        else:
            self.texts.append(value)

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Figures)
        alike = other.numbers == pytest.approx(self.numbers, rel=1e-4, abs=2e-4)
        return bool(alike) and self.texts == other.texts


def decoded(
    folder: Path, data: str, *launcher: str
) -> tuple[dict[str, str], dict[str, Figures], list[str]]:
    """All files that decoding wrote, without times, and the lines that it printed."""
    results = folder / "exp/greedy"
    done = run(
        *(*launcher, ASTERISK / "decode.py", "--exp-dir", folder / "exp"),
        *("--data-dir", folder / data, "--max-rejected-percent", "6", "--ctc-top-k", "10"),
        *("--max-duration-seconds", "2", "--report", "3"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    if data == "data":
        assert done.stderr.count("left out test-announce-004: ") == 1
    texts = {path.name: path.read_text() for path in results.iterdir() if path.is_file()}
    for page in results.glob("report-*/index.html"):
        texts[page.parent.name] = " ".join(re.findall("<h2.*</h2>", page.read_text()))
    shutil.rmtree(results)
    name = "scores-greedy-avg-1-ctc-top-10.json"
    scores = json.loads(texts[name])
    for score in scores.values():
        assert score.pop("real_time_factor") > 0
    texts[name] = json.dumps(scores)
    # Of the same utterance in another batch the last digits may be others.
    figures = {name: Figures(texts.pop(name)) for name in list(texts) if name.endswith(".jsonl")}
    return texts, figures, [x.partition("\treal-time")[0] for x in done.stdout.splitlines()]


def test_two_processes_write_the_files_of_one(trained: Path) -> None:
    one, figures, printed = decoded(trained, "data")
    assert len(one) == 3 * 6 + 1
    assert one["report-test-announce-greedy-avg-1-ctc-top-10"].count(">test-announce-0") == 3
    assert len(figures) == 3
    assert len(figures["hyps-test-announce-greedy-avg-1-ctc-top-10.jsonl"].numbers) > 19
    assert len(printed) == 3
    recogs = one["recogs-test-announce-greedy-avg-1-ctc-top-10.txt"].splitlines()
    assert len(recogs) == 2 * 19
    assert sum("hyp=[]" not in line for line in recogs[1::2]) > 5
    assert decoded(trained, "data", *TORCHRUN) == (one, figures, printed)


@pytest.mark.slow
def test_two_processes_decode_shar(trained: Path) -> None:
    one = decoded(trained, "shar")
    assert len(one[0]["recogs-test-announce-greedy-avg-1-ctc-top-10.txt"].splitlines()) == 2 * 20
    assert decoded(trained, "shar", *TORCHRUN) == one
    manifests = decoded(trained, "data")[0]
    for name in ("dev", "test-unseen"):  # nothing is missing of these
        name = f"recogs-{name}-greedy-avg-1-ctc-top-10.txt"
        assert one[0][name] == manifests[name]


@pytest.mark.slow
def test_too_many_rejects_of_both_together_stop_both(trained: Path) -> None:
    done = run(
        *(*TORCHRUN, ASTERISK / "decode.py", "--exp-dir", trained / "exp"),
        *("--data-dir", trained / "data"),
    )
    assert done.returncode != 0
    assert "1 of 20 utterances had to be left out, more than the 1 % allowed" in done.stderr
