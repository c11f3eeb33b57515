"""Measures and bars: a value in its unit, an interval, a verdict."""

import numpy as np
import pytest

from t2v_helpers.metrics.measures import Bar, Measure, of_median, of_ratios


@pytest.mark.parametrize(
    "unit, words", [("%", "12.5 %"), ("dB", "0.1 dB"), ("x", "0.12 x"), ("s", "0.12 s"), ("ms", "125.0 ms")]
)
def test_a_value_is_shown_in_its_unit(unit, words):
    assert Bar("time", unit).shown(0.125) == words


def test_what_has_no_bar_is_only_told():
    bar, m = Bar("a step", "ms"), Measure(0.2, 0.1, 0.3, 5)
    assert bar.reached(1e9) and bar.row(m) == "| a step | 200.0 ms | 100.0 ms to 300.0 ms | 5 |  |  |  |"


def test_a_row_has_bar_aim_and_verdict():
    row = Bar("ratio", "x", 1.0, 0.9, below=True).row(Measure(1.1, 1.0, 1.2, 5))
    assert row == "| ratio | 1.10 x | 1.00 x to 1.20 x | 5 | at most 1.00 x | 0.90 x | **miss** |"


def test_one_ratio_is_not_sure_of_anything():
    assert of_ratios([2.0]).high == float("inf")


def test_the_interval_of_a_median_is_that_of_the_sign_test():
    found = of_median([float(i) for i in range(12, 0, -1)])
    assert (found.value, found.low, found.high, found.n) == (6.5, 3, 10, 12)  # 96 %: the 3rd and the 10th of 12
    assert of_median([5.0, 1.0, 2.0]) == Measure(2.0, 1.0, 5.0, 3)
    rng = np.random.default_rng(0)
    inside = [m.low <= 0 <= m.high for m in (of_median(list(rng.normal(size=12))) for _ in range(2000))]
    assert 0.945 <= np.mean(inside) <= 0.98
