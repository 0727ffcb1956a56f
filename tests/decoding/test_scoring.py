"""Error rates against counts made by hand, and the formats of the files."""

from __future__ import annotations

from pathlib import Path

import kaldialign
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icefall_sampled.decoding.scoring import (
    ErrorCounts,
    Result,
    align,
    count_errors,
    score,
    write_errs,
    write_recogs,
    write_summary,
)


def result(name: str, reference: str, hypothesis: str) -> Result:
    return Result(id=name, reference=reference.split(), hypothesis=hypothesis.split())


RESULTS = [
    result("b", "you have three new messages", "you have tree new new messages"),
    result("a", "press one", "press"),
    result("c", "goodbye", "goodbye"),
]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("a b c", "a b c", ErrorCounts(0, 0, 0, 3)),
        ("a b c", "a x c", ErrorCounts(1, 0, 0, 3)),
        ("a b c", "a c", ErrorCounts(0, 1, 0, 3)),
        ("a b c", "a b d c", ErrorCounts(0, 0, 1, 3)),
        ("", "a b", ErrorCounts(0, 0, 2, 0)),
        ("a b", "", ErrorCounts(0, 2, 0, 2)),
        ("", "", ErrorCounts(0, 0, 0, 0)),
        ("a * c", "a c", ErrorCounts(0, 1, 0, 3)),
    ],
)
def test_errors_of_one_utterance(reference: str, hypothesis: str, expected: ErrorCounts) -> None:
    assert count_errors(reference.split(), hypothesis.split()) == expected


def test_errors_add_up_over_utterances() -> None:
    total = score(RESULTS)
    assert total == ErrorCounts(substitutions=1, deletions=1, insertions=1, reference=8)
    assert total.total == 3
    assert total.percent == pytest.approx(37.5)


def test_error_rate_without_reference_words() -> None:
    assert ErrorCounts().percent == 0.0
    assert ErrorCounts(insertions=1).percent == float("inf")


def test_characters_leave_spaces_out() -> None:
    characters = result("a", "ab c", "a bd").in_characters()
    assert characters.reference == ["a", "b", "c"]
    assert count_errors(characters.reference, characters.hypothesis) == ErrorCounts(1, 0, 0, 3)


def test_recogs_file(tmp_path: Path) -> None:
    write_recogs(tmp_path / "recogs.txt", RESULTS[1:])
    assert (tmp_path / "recogs.txt").read_text() == (
        "a:\tref=['press', 'one']\na:\thyp=['press']\nc:\tref=['goodbye']\nc:\thyp=['goodbye']\n"
    )


def test_errs_file_has_the_sections_of_icefall(tmp_path: Path) -> None:
    counts = write_errs(tmp_path / "errs.txt", RESULTS, name="dev")
    assert counts == score(RESULTS)
    assert (tmp_path / "errs.txt").read_text() == (
        "%WER = 37.50\n"
        "Errors: 1 insertions, 1 deletions, 1 substitutions, over 8 reference words (6 correct)\n"
        "Search below for sections starting with PER-UTT DETAILS:, SUBSTITUTIONS:, DELETIONS:, "
        "INSERTIONS:, PER-WORD STATS: (dev)\n\n"
        "PER-UTT DETAILS: corr or (ref->hyp)\n"
        "a:\tpress (one->*)\n"
        "b:\tyou have (three->tree) new (*->new) messages\n"
        "c:\tgoodbye\n\n"
        "SUBSTITUTIONS: count ref -> hyp\n1   three -> tree\n\n"
        "DELETIONS: count ref\n1   one\n\n"
        "INSERTIONS: count hyp\n1   new\n\n"
        "PER-WORD STATS: word  corr tot_errs count_in_ref count_in_hyp\n"
        "new   1 1 1 2\none   0 1 1 0\nthree   0 1 1 0\ntree   0 1 0 1\n"
        "goodbye   1 0 1 1\nhave   1 0 1 1\nmessages   1 0 1 1\npress   1 0 1 1\nyou   1 0 1 1\n"
    )


def test_a_star_is_a_word_like_any_other(tmp_path: Path) -> None:
    stars = [result("a", "press * now", "press now"), result("b", "*", "x"), result("c", "", "*")]
    assert align(["*", "a"], ["a"]) == [("*", ""), ("a", "a")]
    counts = write_errs(tmp_path / "errs.txt", stars, name="dev")
    assert counts == ErrorCounts(substitutions=1, deletions=1, insertions=1, reference=4)
    text = (tmp_path / "errs.txt").read_text()
    assert "SUBSTITUTIONS: count ref -> hyp\n1   * -> x\n" in text
    assert "DELETIONS: count ref\n1   *\n" in text
    assert "INSERTIONS: count hyp\n1   *\n" in text
    assert "\n*   0 3 2 1\n" in text


WORDS = st.lists(st.sampled_from(["a", "b", "c", "*"]), max_size=6)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4))
def test_sections_of_the_errs_file_agree_with_its_header(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[list[str], list[str]]]
) -> None:
    path = tmp_path_factory.mktemp("scoring") / "errs.txt"
    results = [Result(id=str(i), reference=r, hypothesis=h) for i, (r, h) in enumerate(pairs)]
    counts = write_errs(path, results, name="dev")
    assert counts.total == sum(kaldialign.edit_distance(r, h)["total"] for r, h in pairs)
    sections = path.read_text().split("\n\n")
    listed = {
        section.partition(":")[0]: sum(int(row.split()[0]) for row in section.splitlines()[1:])
        for section in sections
        if section.startswith(("SUBS", "DEL", "INS"))
    }
    assert listed == {
        "SUBSTITUTIONS": counts.substitutions,
        "DELETIONS": counts.deletions,
        "INSERTIONS": counts.insertions,
    }


def test_summary_has_the_best_settings_first(tmp_path: Path) -> None:
    rows = {"beam": ErrorCounts(1, 0, 0, 3), "greedy": ErrorCounts(0, 0, 0, 3)}
    write_summary(tmp_path / "wer.txt", rows, unit="WER")
    expected = "settings\tWER\ngreedy\t0.00\nbeam\t33.33\n"
    assert (tmp_path / "wer.txt").read_text() == expected
