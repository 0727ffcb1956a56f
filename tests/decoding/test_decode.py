"""The decoding program on a small trained model: files, scores, averaging, and what it refuses."""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import kaldialign
import numpy as np
import pytest
import torch
from lhotse.serialization import load_jsonl

from icefall_sampled import checkpoint
from icefall_sampled.checkpoint import CheckpointError
from icefall_sampled.data.rejects import TooManyRejects
from icefall_sampled.decoding.decode import DecodeConfig, decode, load_model, settings_of
from icefall_sampled.training import train
from tests.support.corpus import make_cut, make_cuts, write_corpus, write_cuts, write_tokens
from tests.support.tiny import changed, tiny_config


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("decode"))


@pytest.fixture(scope="module")
def trained(corpus: Path) -> Path:
    config = changed(
        tiny_config(corpus, corpus / "exp"),
        training={"max_steps": 60, "checkpoint_every_steps": 10},
    )
    train(config)
    # So short a training ends with a model that hardly dares to say anything.
    for path in config.exp_dir.glob("*.pt"):
        state = checkpoint.load(path)
        state["model"]["joiner.output.bias"][0] -= 4.0
        checkpoint.save(path, state)
    return config.exp_dir


@pytest.fixture
def settings(trained: Path) -> Iterator[DecodeConfig]:
    yield DecodeConfig(exp_dir=trained, avg=2, max_duration_seconds=2.0)


def recogs_of(path: Path) -> dict[str, dict[str, list[str]]]:
    """Reference and hypothesis of each utterance, read as icefall's own scripts read them."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in path.read_text().splitlines():
        name, _, rest = line.partition(":\t")
        kind, _, words = rest.partition("=")
        found.setdefault(name, {})[kind] = ast.literal_eval(words)
    return found


def test_files_hold_what_was_recognised(corpus: Path, settings: DecodeConfig) -> None:
    cuts = make_cuts(corpus / "feats", "test", 9, seed=4)
    path = write_cuts(corpus / "test.jsonl.gz", cuts)
    scores = decode(replace(settings, sets=("test",)), {"test": path, "other": corpus / "none"})
    folder = settings.exp_dir / "greedy"
    recogs = recogs_of(folder / "recogs-test-greedy-avg-2.txt")
    assert list(recogs) == [cut.id for cut in cuts]
    for cut in cuts:
        assert recogs[cut.id]["ref"] == cut.supervisions[0].text.split()
    assert any(row["hyp"] for row in recogs.values())
    for kind, prefix, counts in (
        ("word", "", scores["test"].words), ("char", "char-", scores["test"].characters)
    ):  # fmt: skip
        rows = [
            (list("".join(r["ref"])), list("".join(r["hyp"]))) if kind == "char"
            else (r["ref"], r["hyp"])
            for r in recogs.values()
        ]  # fmt: skip
        total = sum(kaldialign.edit_distance(ref, hyp)["total"] for ref, hyp in rows)
        percent = 100 * total / sum(len(ref) for ref, _ in rows)
        assert counts.total == total
        errs = (folder / f"errs-{prefix}test-greedy-avg-2.txt").read_text()
        assert errs.startswith(f"%WER = {percent:.2f}\n")
        unit = {"word": "wer", "char": "cer"}[kind]
        summary = (folder / f"{unit}-summary-test-greedy-avg-2.txt").read_text()
        assert summary == f"settings\t{unit.upper()}\ngreedy-avg-2\t{percent:.2f}\n"
    whole = scores["test"].utterances
    assert whole.reference == 9
    assert whole.total == sum(r["ref"] != r["hyp"] for r in recogs.values()) > 0
    assert scores["test"].real_time_factor > 0


def test_json_lines_hold_what_the_other_files_hold(corpus: Path, settings: DecodeConfig) -> None:
    cuts = {cut.id: cut for cut in make_cuts(corpus / "feats", "lines", 5, seed=5)}
    sets = {"lines": write_cuts(corpus / "lines.jsonl.gz", list(cuts.values()))}
    decode(replace(settings, ctc_top_k=8), sets)
    settings_part = "lines-greedy-avg-2-ctc-top-8"
    recogs = recogs_of(settings.exp_dir / f"greedy/recogs-{settings_part}.txt")
    rows = list(load_jsonl(settings.exp_dir / f"greedy/hyps-{settings_part}.jsonl"))
    assert [row["id"] for row in rows] == list(recogs)
    assert any(row["tokens"] for row in rows)
    for row in rows:
        cut, words = cuts[row["id"]], recogs[row["id"]]
        assert row["text"].split() == words["ref"]
        assert row["pred_text"].split() == words["hyp"]
        assert row["nbest"][0]["text"] == row["pred_text"]
        assert "".join(token["token"] for token in row["tokens"]) == row["pred_text"]
        assert (row["audio_filepath"], row["offset"]) == (None, 0.0)
        assert row["duration"] == cut.duration
        starts = [token["start"] for token in row["tokens"]]
        assert starts == sorted(starts)
        assert all(0 <= start < cut.duration for start in starts)
        assert all(round(start / 0.04, 6).is_integer() for start in starts)
        assert 0 < row["confidence"] <= 1


def test_a_report_shows_the_worst(corpus: Path, settings: DecodeConfig) -> None:
    sets = {"dev": corpus / "dev.jsonl.gz"}
    decode(replace(settings, report=2), sets)
    recogs = recogs_of(settings.exp_dir / "greedy/recogs-dev-greedy-avg-2.txt")
    errors = {
        name: kaldialign.edit_distance(*(list("".join(words)) for words in row.values()))["total"]
        for name, row in recogs.items()
    }
    worst = sorted(errors, key=lambda name: (-errors[name], name))
    folder = settings.exp_dir / "greedy/report-dev-greedy-avg-2"
    page = (folder / "index.html").read_text()
    assert [name in page for name in worst] == [True, True] + [False] * (len(worst) - 2)
    assert sorted(path.name for path in (folder / "media").iterdir()) == ["1.png", "2.png"]
    for name, total in errors.items():
        if name in page:
            assert f'">{name}</a></th><td data-value="{total}">' in page


def test_batches_of_any_size_decode_alike(corpus: Path, settings: DecodeConfig) -> None:
    path = settings.exp_dir / "greedy/recogs-dev-greedy-avg-2.txt"
    texts = []
    for seconds in (0.1, 2.0, 100.0):
        decode(
            replace(settings, max_duration_seconds=seconds, num_workers=int(seconds == 2.0)),
            {"dev": corpus / "dev.jsonl.gz"},
        )
        texts.append(path.read_text())
    assert texts[0] == texts[1] == texts[2]


def test_all_classes_allowed_is_no_constraint(corpus: Path, settings: DecodeConfig) -> None:
    sets = {"dev": corpus / "dev.jsonl.gz"}
    folder = settings.exp_dir / "greedy"
    decode(settings, sets)
    for k in (12, 100):
        decode(replace(settings, ctc_top_k=k), sets)
        bound = folder / f"recogs-dev-greedy-avg-2-ctc-top-{k}.txt"
        assert bound.read_text() == (folder / "recogs-dev-greedy-avg-2.txt").read_text()
    decode(replace(settings, ctc_top_k=1), sets)
    silent = recogs_of(folder / "recogs-dev-greedy-avg-2-ctc-top-1.txt")
    assert all(row["hyp"] == [] for row in silent.values())


def test_model_is_the_mean_of_the_latest_checkpoints(settings: DecodeConfig) -> None:
    paths = checkpoint.find(settings.exp_dir)
    assert len(paths) == 3
    states = [checkpoint.load(path)["model"] for path in paths]
    for avg, used in ((1, states[2:]), (2, states[1:]), (3, states), (50, states)):
        model, _ = load_model(replace(settings, avg=avg))
        assert not model.training
        for name, parameter in model.named_parameters():
            mean = torch.stack([state[name].double() for state in used]).mean(0)
            torch.testing.assert_close(parameter.detach(), mean.float())
    best = checkpoint.load(settings.exp_dir / checkpoint.BEST)["model"]
    model, _ = load_model(replace(settings, avg=0))
    assert all(torch.equal(best[name], p) for name, p in model.named_parameters())


def test_what_cannot_be_decoded_is_one_sentence(
    corpus: Path, settings: DecodeConfig, tmp_path: Path
) -> None:
    sets = {"dev": corpus / "dev.jsonl.gz"}
    other = write_tokens(tmp_path / "lang", "abcdefghijk")
    for config, available, message in (
        (replace(settings, exp_dir=tmp_path / "no"), sets, "exp_dir is .*no, there is no checkp"),
        (replace(settings, exp_dir=tmp_path, avg=0), sets, "there is no checkpoint .*best.pt"),
        (replace(settings, sets=("tset",)), sets, "sets: there is no 'tset', it must be among dev"),
        (settings, {"dev": corpus / "no"}, "set dev is .*no, it must be an existing manifest"),
        (replace(settings, lang_dir=other), sets, r"another vocabulary \(12 .*lang has \(13 class"),
        (replace(settings, lang_dir=tmp_path / "no"), sets, "lang_dir is .*no, it must be"),
        (replace(settings, ctc_top_k=-1), sets, "ctc_top_k is -1, it must be 0 or"),
        (replace(settings, avg=-1), sets, "avg is -1, it must be at least 0"),
        (replace(settings, report=-1), sets, "report is -1, it must be 0 or a number of"),
        (replace(settings, max_symbols=0), sets, "max_symbols is 0, it must be at least 1"),
        (replace(settings, max_duration_seconds=0), sets, "max_duration_seconds is 0, it must be"),
        (replace(settings, num_workers=-1), sets, "num_workers is -1, it must be at least 0"),
        (replace(settings, max_rejected_percent=101), sets, "max_rejected_percent is 101, it must"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            decode(config, available)
        assert "\n" not in str(caught.value)


def test_every_way_to_decode_has_files_of_its_own() -> None:
    usual = DecodeConfig(avg=3)
    names = {
        settings_of(replace(usual, **changes))
        for method in ("greedy", "beam", "modified_beam", "fast_beam")
        for changes in (
            {"method": method}, {"method": method, "avg": 0}, {"method": method, "ctc_top_k": 9},
            {"method": method, "blank_skip": 0.99}, {"method": method, "blank_skip": 0.999},
            {"method": method, "max_symbols": 3},
        )
    } | {
        settings_of(replace(usual, method=method, **changes))
        for method in ("beam", "modified_beam", "fast_beam")
        for changes in ({"beam": 4}, {"max_gap": 5.0}, {"length_norm": False})
    }  # fmt: skip
    assert len(names) == 4 * 6 + 3 * 3
    assert "greedy-avg-3" in names
    paper = replace(usual, method="beam", avg=10, ctc_top_k=100)
    assert settings_of(paper) == "beam-avg-10-beam-10-ctc-top-100"


@pytest.mark.parametrize("method", ["beam", "modified_beam"])
def test_a_beam_search_writes_its_n_best_lists(
    corpus: Path, settings: DecodeConfig, method: str
) -> None:
    config = replace(settings, method=method, beam=4, nbest=3, max_symbols=2)
    decode(config, {"dev": corpus / "dev.jsonl.gz"})
    folder, name = settings.exp_dir / method, settings_of(config)
    rows = list(load_jsonl(folder / f"hyps-dev-{name}.jsonl"))
    assert max(len(row["nbest"]) for row in rows) == 3
    for row in rows:
        assert row["nbest"][0]["log_prob"] == row["log_prob"]
        texts = [hypothesis["text"] for hypothesis in row["nbest"]]
        assert texts[0] == row["pred_text"]
        assert len(set(texts)) == len(texts)
    assert (folder / f"wer-summary-dev-{name}.txt").is_file()
    assert list(json.loads((folder / f"scores-{name}.json").read_text())) == ["dev"]


def test_fast_beam_refuses_an_lstm_before_any_decoding(
    corpus: Path, settings: DecodeConfig
) -> None:
    with pytest.raises(ValueError, match="fast_beam, which needs a predictor that sees a few"):
        decode(replace(settings, method="fast_beam"), {"dev": corpus / "dev.jsonl.gz"})
    assert not (settings.exp_dir / "fast_beam").exists()


def test_scores_of_other_sets_stay(corpus: Path, trained: Path, settings: DecodeConfig) -> None:
    sets = {name: corpus / "dev.jsonl.gz" for name in ("one", "two")}
    once = replace(settings, avg=1)
    path = trained / "greedy/scores-greedy-avg-1.json"
    decode(replace(once, sets=("one",)), sets)
    one = json.loads(path.read_text())["one"]
    decode(replace(once, sets=("two",)), sets)
    assert list(json.loads(path.read_text())) == ["one", "two"]
    assert json.loads(path.read_text())["one"] == one
    decode(replace(once, sets=("one",)), {**sets, "one": corpus / "train.jsonl.gz"})
    assert json.loads(path.read_text())["one"]["words"] != one["words"]


def test_a_run_of_relative_paths_is_decoded_from_elsewhere(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus)
    train(changed(tiny_config(Path(), Path("relative")), training={"max_steps": 1}))
    monkeypatch.chdir(tmp_path)
    decode(DecodeConfig(exp_dir=corpus / "relative"), {"dev": corpus / "dev.jsonl.gz"})


def test_the_ctc_constraint_needs_a_ctc_head(corpus: Path, tmp_path: Path) -> None:
    config = changed(
        tiny_config(corpus, tmp_path),
        ctc={"joint_weight": 0.0},
        sampling={"distribution": "uniform"},
        training={"max_steps": 1},
    )
    train(config)
    sets = {"dev": corpus / "dev.jsonl.gz"}
    decode(DecodeConfig(exp_dir=tmp_path), sets)
    with pytest.raises(ValueError, match="need a CTC head"):
        decode(DecodeConfig(exp_dir=tmp_path, ctc_top_k=5), sets)


def test_a_damaged_checkpoint_is_named(settings: DecodeConfig, tmp_path: Path) -> None:
    path = checkpoint.find(settings.exp_dir)[-1]
    (tmp_path / path.name).write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="is not a whole checkpoint") as caught:
        load_model(replace(settings, exp_dir=tmp_path))
    assert "\n" not in str(caught.value)


def test_utterances_that_cannot_be_read_or_are_too_short_are_reported(
    corpus: Path, settings: DecodeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    cuts = make_cuts(corpus / "feats", "holes", 5, seed=6)
    (corpus / "feats/holes-002.npy").unlink()
    for frames in (1, 6, 7):
        features = np.zeros((frames, 80), dtype=np.float32)
        cuts.append(make_cut(corpus / "feats", f"short-{frames}", features, "a"))
    cuts.append(make_cut(corpus / "feats", "wordless", np.zeros((30, 80), np.float32), ""))
    sets = {"holes": write_cuts(corpus / "holes.jsonl.gz", cuts)}
    with caplog.at_level(logging.WARNING):
        decode(replace(settings, max_rejected_percent=40.0, max_duration_seconds=0.1), sets)
    recogs = recogs_of(settings.exp_dir / "greedy/recogs-holes-greedy-avg-2.txt")
    left_out = {"holes-002", "short-1", "short-6"}
    assert set(recogs) == {cut.id for cut in cuts} - left_out
    for name in left_out:
        assert f"left out {name}: " in caplog.text
    with pytest.raises(TooManyRejects, match="--max-rejected-percent allows more"):
        decode(settings, sets)
