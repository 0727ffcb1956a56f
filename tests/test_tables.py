"""Tables, column by column."""

from __future__ import annotations

from icefall_sampled.tables import aligned, markdown

ROWS = [["a", "1.5", ""], ["long", "10", "yes"]]


def test_markdown_has_columns_of_equal_width() -> None:
    assert markdown(["", "WER %", "x"], ROWS) == (
        "|      | WER % | x   |\n"
        "| ---- | ----- | --- |\n"
        "| a    | 1.5   |     |\n"
        "| long | 10    | yes |"
    )
    numbers = markdown(["", "WER %", "x"], ROWS, numbers=True)
    assert numbers.splitlines()[1] == "| ---- | ----: | --: |"
    assert markdown(["a", "b"], []) == "| a | b |\n| - | - |"


def test_text_is_left_of_its_column_and_numbers_are_right() -> None:
    assert aligned(ROWS, left=1) == "a     1.5\nlong   10  yes"
    assert aligned(ROWS, left=3) == "a     1.5\nlong  10   yes"
