"""Text tables: what a reader of Markdown and of a terminal gets."""

import pytest

from t2v_helpers.core import tables


def test_a_markdown_table_has_titles_and_rows():
    assert tables.markdown(("what", ""), [("a", 1), ("b", "")]) == "| what | |\n|---|---|\n| a | 1 |\n| b |  |"


@pytest.mark.parametrize(("right", "text"), [(False, "a    1\nbbb  20"), (True, "a     1\nbbb  20")])
def test_columns_are_aligned(right, text):
    assert tables.aligned([("a", 1), ("bbb", 20)], right) == text


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="zip"):
        tables.aligned([("a", 1), ("b",)])
