"""Features from a Dask cluster are those of the pool of processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from distributed import LocalCluster
from lhotse import CutSet
from lhotse.cut import Cut

import local.compute_fbank as compute_fbank
from icefall_sampled.jobs import open_jobs
from tests.local.conftest import MakeCut
from tests.support.recipes import ROOT, run

pytest.importorskip("kaldifeat")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a scheduler with two workers, each a process."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as cluster:
        yield cluster.scheduler_address


def test_a_cluster_computes_what_the_pool_computes(
    make_cut: MakeCut, tmp_path: Path, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute_fbank, "SHARD_SECONDS", 1.0)
    cuts: list[Cut] = [make_cut(f"c{n}", seconds=0.5, seed=n) for n in range(6)]
    Path(cuts[4].recording.sources[0].source).write_bytes(b"not audio")
    source = tmp_path / "in.jsonl.gz"
    CutSet.from_cuts(cuts).to_file(source)
    results = []
    for name, where in (("pool", {"num_jobs": 2}), ("dask", {"dask": cluster})):
        target = tmp_path / f"{name}.jsonl.gz"
        storage = tmp_path / f"feats-{name}"
        compute_fbank.main(
            source, target, storage=storage, speed_perturb=True, max_rejected_percent=20.0, **where
        )
        assert len(list(storage.glob("*.lca"))) > 3
        done = list(CutSet.from_file(target))
        results.append({cut.id: cut.load_features() for cut in done})
        rejected = (tmp_path / f"{name}.rejects.jsonl").read_text().splitlines()
        assert len(rejected) == 3
        assert all('"c4' in line for line in rejected)
    pool, dask = results
    assert list(pool) == list(dask)
    assert len(pool) == 15
    for cut_id, features in pool.items():
        np.testing.assert_array_equal(features, dask[cut_id])


def test_the_command_goes_on_where_it_stopped(
    make_cut: MakeCut, tmp_path: Path, cluster: str
) -> None:
    source = tmp_path / "in.jsonl.gz"
    CutSet.from_cuts([make_cut("a"), make_cut("b", seed=1)]).to_file(source)
    command = (
        *(ROOT / "local/compute_fbank.py", source, tmp_path / "out.jsonl.gz"),
        *("--storage", tmp_path / "feats", "--dask", cluster),
    )
    first = run(*command)
    assert first.returncode == 0, first.stderr
    again = run(*command)
    assert again.returncode == 0, again.stderr
    assert "1 of 1 shards are there already" in again.stderr
    assert [cut.id for cut in CutSet.from_file(tmp_path / "out.jsonl.gz")] == ["a", "b"]


def test_jobs_are_handed_over_a_few_at_a_time(cluster: str) -> None:
    for where in ({"num_jobs": 2}, {"dask": cluster}):
        taken: list[int] = []

        def items(taken: list[int] = taken) -> Iterator[int]:
            for n in range(40):
                taken.append(n)
                yield n

        with open_jobs(**where) as jobs:
            results = jobs.run(abs, items())
            seen = [next(results)]
            assert len(taken) <= 4
            seen += results
        assert sorted(seen) == list(range(40))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nowhere", "tcp://host:port"])
def test_an_address_without_a_scheduler_is_one_sentence(
    make_cut: MakeCut, tmp_path: Path, address: str
) -> None:
    source = tmp_path / "in.jsonl.gz"
    CutSet.from_cuts([make_cut("a")]).to_file(source)
    with pytest.raises(ValueError, match=f"^--dask is {address}, it must be the address of a") as e:
        compute_fbank.main(
            source, tmp_path / "out.jsonl.gz", storage=tmp_path / "feats", dask=address
        )
    assert "\n" not in str(e.value)
