"""What holds for all tests: the same random numbers each time, no clock, slow ones on request."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, settings

# Deadlines and the too-slow check would let a busy machine decide what passes; without a database
# and with a fixed seed, two runs do the same.
settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow") or config.getoption("-m"):
        return
    slow = [item for item in items if "slow" in item.keywords]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if "slow" not in item.keywords]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """A test's random numbers do not depend on the tests before it."""
    torch.manual_seed(0)
