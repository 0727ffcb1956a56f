"""Counting what is allocated, and the line through what steps take."""

from __future__ import annotations

import pytest
import torch

from icefall_sampled.allocations import MIB, Line, available_mib, peak_allocated_mib

CPU = torch.device("cpu")


def test_the_peak_is_what_was_there_at_once() -> None:
    kept = []

    def step() -> None:
        first = torch.zeros(1000)
        kept.append(torch.zeros(500))
        del first
        torch.zeros(700)

    assert peak_allocated_mib(step, CPU) * MIB == 6000


def test_some_memory_is_available() -> None:
    assert 0 < available_mib(CPU) < float("inf")


def test_a_line_goes_through_its_points_and_on() -> None:
    line = Line(10.0, ((1, 14.0), (2, 15.0), (4, 25.0)))
    assert [line.at(num) for num in (1, 2, 3, 4, 6)] == [14.0, 15.0, 20.0, 25.0, 35.0]


@pytest.mark.parametrize(
    ("mib", "num"), [(13.9, 0), (14.0, 1), (19.9, 2), (20.0, 3), (25.0, 4), (44.9, 7), (45.0, 8)]
)
def test_the_largest_batch_is_the_last_that_fits(mib: float, num: int) -> None:
    assert Line(10.0, ((1, 14.0), (2, 15.0), (4, 25.0))).largest(mib) == num


def test_a_line_that_does_not_rise_says_what_was_measured() -> None:
    assert Line(10.0, ((1, 14.0), (2, 14.0))).largest(100.0) == 2


@pytest.mark.parametrize(
    ("points", "is_settled"),
    [
        (((1, 20.0), (2, 30.0)), False),  # two points are always on a line
        (((1, 20.0), (2, 30.0), (4, 50.0)), True),
        (((1, 25.0), (2, 30.0), (4, 50.0)), False),  # a bend
        (((1, 25.0), (2, 35.0), (4, 55.0)), False),  # a constant that may be outgrown
        (((2, 35.0), (4, 55.0), (8, 95.0)), True),
        (((1, 11.0), (2, 12.0), (4, 14.0)), False),  # the budget may not be full yet
    ],
)
def test_a_line_is_settled(points: tuple[tuple[int, float], ...], is_settled: bool) -> None:
    assert Line(10.0, points).is_settled(1.0) == is_settled
