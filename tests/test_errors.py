"""What is quoted of an error."""

from __future__ import annotations

import pickle

import pytest

from icefall_sampled.errors import MissingPackage, UserError, first_line, unreadable


def test_the_first_line_and_no_more() -> None:
    assert first_line(ValueError(" no such cut\nCut(id=…)\n")) == "no such cut"
    assert first_line(KeyError()) == "KeyError"
    assert len(first_line(OSError("x" * 1000))) == 200
    assert unreadable(EOFError("cut off\nmore")) == "unreadable: EOFError: cut off"


@pytest.mark.parametrize("kind", [UserError, MissingPackage])
def test_what_a_worker_process_raises_arrives_as_it_is(kind: type[UserError]) -> None:
    error = pickle.loads(pickle.dumps(kind("said")))
    assert (type(error), str(error)) == (kind, "said")
    assert isinstance(error, ValueError)
    assert isinstance(error, ImportError) == (kind is MissingPackage)
