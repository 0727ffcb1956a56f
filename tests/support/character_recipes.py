"""Run the recipes with characters on miniatures as a user does on the corpora."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from lhotse import CutSet
from lhotse.cut import Cut

from icefall_sampled import checkpoint
from icefall_sampled.config import check
from icefall_sampled.recipes.results import read_table
from icefall_sampled.tokens import load_tokens
from tests.support.recipes import ROOT, environment, load

LENIENT = ["--max-rejected-percent", "50"]
# The recipe's model has twelve blocks: Intermediate CTC is after the sixth.
SMALL = (
    "--encoder.subsampling-channels 4 --encoder.num-layers 7 --encoder.width 16 "
    "--encoder.num-heads 2 --encoder.feedforward-width 32 --encoder.kernel-frames 3 "
    "--predictor.embedding-width 8 --predictor.hidden-width 16 --joiner.width 16 "
    "--data.num-workers 0 --data.num-buckets 2 --data.max-duration-seconds 20 "
    "--sampling.num-sampled 60 "
    "--optimizer.accumulate 1 --optimizer.warmup-steps 10 --training.max-steps 24 "
    "--training.checkpoint-every-steps 12 --training.log-every-steps 8"
)
# With these options a model memorises a miniature. Its predictor has a context of one label, and a
# frame is 80 ms. A predictor that sees all labels would learn sentences instead of speech, without
# learning at which frame to emit a label; then no frame is likely, and greedy search misses labels
# (16 % CER at a loss of 0.02 nats).
BY_HEART = [
    "--encoder.subsampling", "8",
    "--encoder.subsampling-channels", "32", "--encoder.num-layers", "3", "--encoder.width", "96",
    "--encoder.num-heads", "4", "--encoder.feedforward-width", "192", "--encoder.dropout", "0",
    "--predictor.kind", "stateless", "--predictor.context-labels", "1",
    "--predictor.embedding-width", "64", "--predictor.hidden-width", "64",
    "--predictor.dropout", "0", "--joiner.width", "128", "--spec-augment.probability", "0",
    "--data.no-speed-perturbed", "--data.num-workers", "0", "--data.num-buckets", "4",
    "--data.max-duration-seconds", "20", "--sampling.num-sampled", "100",
    "--loss.ctc-only-steps", "250", "--optimizer.accumulate", "1",
    "--optimizer.learning-rate", "2e-3", "--optimizer.schedule", "cosine",
    "--optimizer.warmup-steps", "100", "--training.max-steps", "1500",
    "--training.checkpoint-every-steps", "500", "--training.log-every-steps", "50",
]  # fmt: skip


def recipe(corpus: str) -> Path:
    return ROOT / "egs" / corpus / "ASR"


def bash(corpus: str, script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", str(recipe(corpus) / script), *map(str, arguments)],
        env={**environment(), "PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def manifests_script(corpus: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Stage 1 alone."""
    script = recipe(corpus) / f"local/{corpus}_manifests.py"
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip


def cuts_of(folder: Path, corpus: str, name: str) -> list[Cut]:
    return list(CutSet.from_file(folder / f"data/fbank/{corpus}_cuts_{name}.jsonl.gz"))


def check_unknown(corpus: str, folder: Path, sets: tuple[str, ...], said: str) -> None:
    """Utterances with characters that are not in training are counted, and none is left out."""
    assert re.findall(r"left out \S+: .*", said) == []
    table = load_tokens(folder / "data/lang_char")
    for name in sets:
        texts = [cut.supervisions[0].text or "" for cut in cuts_of(folder, corpus, name)]
        count = sum(table.unknown_id in table.encode(text) for text in texts)
        assert (count > 0) == (f"cuts_{name}.jsonl.gz: {count} utterances hold a token" in said)
        if name == "dev":
            assert count


def stages_again(corpus: str, *flags: str | Path) -> list[str]:
    """The messages of prepare.sh about each stage when it is called again."""
    again = bash(corpus, "prepare.sh", *flags, "--stage", "1")
    assert again.returncode == 0, again.stderr
    return [line for line in again.stderr.splitlines() if " stage " in line]


def run_rows(corpus: str, folder: Path, *rows: str) -> dict[str, dict[str, list[str]]]:
    """Train and score rows of the table on a prepared miniature.

    Returns:
        The cells of RESULTS.md from `steps` on, by variant and then by decoding.
    """
    data = folder / "data"
    train = (
        f"{SMALL} --data.train-cuts {data}/fbank/{corpus}_cuts_train.jsonl.gz "
        f"--data.dev-cuts {data}/fbank/{corpus}_cuts_dev.jsonl.gz --data.lang-dir {data}/lang_char"
    )
    done = bash(
        corpus, "run_table.sh", *rows, "--exp-root", folder / "exp",
        "--output", folder / "RESULTS.md", "--train", train, "--decode", f"--data-dir {data}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stderr
    table: dict[str, dict[str, list[str]]] = {}
    text = (folder / "RESULTS.md").read_text(encoding="utf-8")
    assert text.splitlines()[-1].startswith("Decoded by: Commit ")
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) > 7:
            table.setdefault(cells[4], {})[cells[6]] = cells[5:]
    return table


def check_results(corpus: str, folder: Path, *rows: str) -> None:
    """Train and score rows: RESULTS.md has the error rates from decoding of only these rows."""
    results = run_rows(corpus, folder, *rows)
    paper = read_table(recipe(corpus) / "local/paper_table.json")
    for row in paper.rows:
        if row.variant not in rows:
            theirs = [cell for number in row.paper for cell in (number, "not run")]
            assert results[row.variant] == {"-": ["-", "-", *theirs]}
            continue
        averaged = len(checkpoint.find(folder / "exp" / row.variant))  # ten are asked for
        settings = f"greedy-avg-{averaged}-ctc-top-100"
        steps, _, *cells = results[row.variant][settings]
        assert steps == "24"
        assert tuple(cells[::2]) == row.paper
        for name, ours in zip(paper.sets, cells[1::2], strict=True):
            path = folder / f"exp/{row.variant}/greedy/cer-summary-{name}-{settings}.txt"
            assert ours == path.read_text(encoding="utf-8").split()[-1]


def check_variants(corpus: str) -> None:
    """The variants are the rows of Table 2, with the model of ESPnet's recipe in each of them.

    One more variant is `full` with k2's pruned loss.
    """
    program = load(recipe(corpus) / "sampled_transducer/train.py")
    variants = program.variants()
    table = read_table(recipe(corpus) / "local/paper_table.json")
    assert {row.variant for row in table.rows} | {"pruned"} == set(variants)
    full, pruned = variants["full"], variants["pruned"]
    check(pruned)
    loss = replace(full.loss, kind="pruned")
    assert pruned == replace(full, loss=loss, exp_dir=full.exp_dir.with_name("pruned"))
    for row in table.rows:
        config = variants[row.variant]
        check(config)
        sampling, ctc = config.sampling, config.ctc
        assert config.exp_dir.parts[-3:] == ("ASR", "exp", row.variant)
        assert row.sampled == ("-" if sampling.strategy == "none" else str(sampling.num_sampled))
        assert row.group.startswith("Batched") == (sampling.strategy == "batch")
        assert row.group.startswith("Example") == (sampling.strategy == "example")
        assert row.group.endswith("joint-CTC") == (
            sampling.strategy == "example" and sampling.distribution == "ctc"
        )
        assert (ctc.joint_weight, ctc.self_conditioning) == (0.5, False)
        assert ctc.intermediate_layers == ((6,) if row.auxiliary == "+InterCTC" else ())
        assert (config.encoder.num_layers, config.encoder.width) == (12, 512)
        assert (config.predictor.kind, config.predictor.num_layers) == ("lstm", 1)
        assert config.spec_augment.probability == 1
        assert config.data.speed_perturbed


def check_results_file_is_generated(corpus: str, tmp_path: Path) -> None:
    """RESULTS.md in the repository is what run_table.sh writes if nothing was run."""
    program = ROOT / "local/show_table.py"
    table, output = recipe(corpus) / "local/paper_table.json", tmp_path / "RESULTS.md"
    command = [sys.executable, program, table, tmp_path / "exp", "--output", output]
    subprocess.run(list(map(str, command)), env=environment(), check=True)
    assert (recipe(corpus) / "RESULTS.md").read_text(encoding="utf-8") == output.read_text(
        encoding="utf-8"
    )
