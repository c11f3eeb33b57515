"""Measures and bars: a value in its unit, an interval, a verdict."""

import numpy as np
import pytest

from t2v_helpers.metrics.estimates import (
    Bar,
    Measure,
    Share,
    bootstrap,
    of_median,
    of_ratios,
    of_share,
    of_times,
    of_values,
    wilson,
)


@pytest.mark.parametrize(
    "unit, words", [("%", "12.5 %"), ("dB", "0.1 dB"), ("x", "0.12 x"), ("s", "0.12 s"), ("ms", "125.0 ms")]
)
def test_a_value_is_shown_in_its_unit(unit, words):
    assert Bar("time", unit).shown(0.125) == words


def test_without_a_bar_a_measure_is_only_reported():
    bar, m = Bar("a step", "ms"), Measure(0.2, 0.1, 0.3, 5)
    assert bar.reached(1e9) and bar.cells(m) == ["a step", "200.0 ms", "100.0 ms to 300.0 ms", "5", "", "", ""]


def test_a_row_has_bar_aim_and_verdict():
    cells = Bar("ratio", "x", 1.0, 0.9, below=True).cells(Measure(1.1, 1.0, 1.2, 5))
    assert cells == ["ratio", "1.10 x", "1.00 x to 1.20 x", "5", "at most 1.00 x", "0.90 x", "**miss**"]


def test_one_value_has_an_infinite_interval():
    assert of_values([3.0]).high == of_ratios([2.0]).high == float("inf")


def test_a_mean_has_an_interval_of_standard_errors():
    m = of_values([1.0, 2.0, 3.0, 4.0])
    half = 1.96 * np.std([1, 2, 3, 4], ddof=1) / 2
    assert (m.value, m.low, m.high, m.n) == pytest.approx((2.5, 2.5 - half, 2.5 + half, 4))


def test_ratios_have_a_geometric_mean():
    m = of_ratios([0.5, 2.0, 1.0])
    assert m.value == pytest.approx(1.0) and m.low * m.high == pytest.approx(1.0) and m.low < 1


def test_times_show_median_fastest_and_slowest():
    assert of_times([3.0, 1.0, 2.0]) == Measure(2.0, 1.0, 3.0, 3)


def test_the_interval_of_a_median_is_that_of_the_sign_test():
    found = of_median([float(i) for i in range(12, 0, -1)])
    assert (found.value, found.low, found.high, found.n) == (6.5, 3, 10, 12)  # 96 %: the 3rd and the 10th of 12
    assert of_median([5.0, 1.0, 2.0]) == Measure(2.0, 1.0, 5.0, 3)
    rng = np.random.default_rng(0)
    inside = [m.low <= 0 <= m.high for m in (of_median(list(rng.normal(size=12))) for _ in range(2000))]
    assert 0.945 <= np.mean(inside) <= 0.98


# --- shares


@pytest.mark.parametrize("k, n", [(0, 5), (5, 5), (1, 3), (470, 512), (2, 512)])
def test_wilsons_interval_is_that_of_the_formula(k, n, z=1.959964):
    p, scale = k / n, 1 + z * z / n
    centre, half = (p + z * z / (2 * n)) / scale, z / scale * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert wilson(k, n) == pytest.approx((centre - half, centre + half), abs=1e-12)
    assert min(wilson(k, n)) >= 0 and max(wilson(k, n)) <= 1


def test_a_share_has_wilsons_interval():
    assert of_share(Share.of([True, True, False, True])) == Measure(0.75, *wilson(3, 4), 4)
    assert Share(16, 16).summary == "16 of 16 (81%-100%)" and Share(1, 16).summary == " 1 of 16 (1%-28%)"


def test_new_answers_lie_where_a_share_expects_them_19_times_in_20():
    rng, inside = np.random.default_rng(0), []
    for truth in rng.random(500):
        low, high = Share(int(rng.binomial(16, truth)), 16).expected(8)
        inside.append(low <= rng.binomial(8, truth) <= high)
    assert 0.93 < np.mean(inside) < 1
    assert Share(15, 16).expected(6) == (3, 6) and Share(1, 16).expected(6) == (0, 3)
    with pytest.raises(ValueError, match="m=0"):
        Share(1, 2).expected(0)


@pytest.mark.parametrize(
    ("k", "n", "word"),
    [(-1, 4, "k=-1"), (5, 3, "k=5"), (0, 0, "n=0"), (1.5, 3, "k=1.5"), (float("nan"), 3, "k=nan"), ("1", 3, "k='1'")],
)
def test_an_impossible_share_is_refused(k, n, word):
    for count in (wilson, Share):
        with pytest.raises(ValueError, match=word):
            count(k, n)


# --- the bootstrap


def test_the_interval_holds_the_true_mean_19_times_in_20():
    rng = np.random.default_rng(0)
    found = [bootstrap(rng.exponential(size=30)) for _ in range(150)]
    assert 0.87 < np.mean([m.low <= 1 <= m.high for m in found]) <= 1


def test_pairs_cancel_what_the_seeds_have_in_common():
    rng = np.random.default_rng(0)
    seeds = rng.normal(scale=10, size=40)
    a, b = seeds + 1 + rng.normal(scale=0.1, size=40), seeds
    paired, alone = bootstrap(a, b), bootstrap(a)
    assert paired.value == pytest.approx(1, abs=0.1) and paired.low > 0.9
    assert alone.high - alone.low > 20 * (paired.high - paired.low)
    assert paired.n == 40 and bootstrap(a, b) == paired


def test_equal_values_are_one_point():
    assert bootstrap([1.0, 1.0, 1.0]) == Measure(1.0, 1.0, 1.0, 3)


@pytest.mark.parametrize(
    ("values", "other", "word"),
    [([1.0], None, "2 numbers or more"), ([], None, "2 numbers"), ([1, 2], [1, 2, 3], "one length"),
     ([1, np.nan], None, "NaN or infinity"), ([1, 2], [1, np.inf], "NaN or infinity")],
)  # fmt: skip
def test_values_without_an_interval_are_refused(values, other, word):
    with pytest.raises(ValueError, match=word):
        bootstrap(values, other)


def test_differences_that_are_rounding_are_none():
    a, b = np.array([0.1 + 0.2, 0.3, 0.7]), np.array([0.3, 0.3, 0.7])
    assert a[0] != b[0] and bootstrap(a, b) == Measure(0.0, 0.0, 0.0, 3)
    nearly = bootstrap([1, 1 + 2e-16, 1 + 4e-16])
    assert nearly.low == nearly.high == pytest.approx(1)
