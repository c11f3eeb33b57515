"""Power by simulation: the tests against scipy's own, the shares against what theory says."""

import numpy as np
import pytest
from scipy import stats

from t2v_helpers.metrics import power
from t2v_helpers.studies import comparison

RNG = np.random.default_rng(0)
SHARED = RNG.normal(0, 1, 200)
A, B = SHARED + 0.2 + RNG.normal(0, 0.4, 200), SHARED + RNG.normal(0, 0.4, 200)
YES, NO = (RNG.random(200) < 0.9).astype(float), (RNG.random(200) < 0.6).astype(float)


def test_the_tests_are_those_of_scipy():
    a, b = RNG.normal(0, 1, (20, 9)), RNG.normal(0.5, 2, (20, 9))
    paired, alone = stats.ttest_rel(a, b, axis=1).pvalue, stats.ttest_ind(a, b, axis=1, equal_var=False).pvalue
    np.testing.assert_allclose(power.p_values(a, b), paired, rtol=1e-9)
    np.testing.assert_allclose(power.p_values(a, b, paired=False), alone, rtol=1e-9)


def test_yes_and_no_are_counted_by_mcnemar():
    a, b = (RNG.random((30, 25)) < 0.8).astype(float), (RNG.random((30, 25)) < 0.5).astype(float)
    for x, y, p in zip(a, b, power.p_values(a, b), strict=True):
        apart = int((x != y).sum())
        wanted = stats.binomtest(int((x > y).sum()), apart).pvalue if apart else 1
        assert p == pytest.approx(wanted, rel=1e-9)


def test_pairs_are_lost_or_won_and_the_rest_says_nothing():
    found = power.Pairs.of([1, 1, 1, 0, 0, 1, 1, 1, 1], [True, False, False, True, False, False, False, False, False])
    assert (found.lost, found.won, found.n) == (6, 1, 9) and found.p == pytest.approx(16 / 2**7) and not found.differ
    assert power.Pairs(6, 0, 32).differ and power.Pairs(6, 0, 32).summary == "6 lost, 0 won of 32, p = 0.031"
    assert power.Pairs(6, 0, 32).verdict == "fewer (6 lost, 0 won of 32, p = 0.031)"
    assert [power.Pairs(*split, 32).verdict.split(" (")[0] for split in ((0, 6), (0, 5), (5, 0), (0, 0))] == [
        "more", "not shown", "not shown", "not shown",
    ]  # fmt: skip
    assert power.Pairs(0, 0, 4).p == 1 and power.Pairs(20, 0, 32).summary.endswith("p < 0.001")


@pytest.mark.parametrize("after", [[], [True]])
def test_pairs_of_other_seeds_are_refused(after):
    with pytest.raises(ValueError, match=f"2 and {len(after)} seeds"):
        power.Pairs.of([True, False], after)


def test_rows_that_do_not_vary_are_found_where_they_differ():
    same, above = np.full((1, 5), 2.5), np.full((1, 5), 3.5)
    for paired in (True, False):
        assert power.p_values(same, same, paired) == [1]
        assert power.p_values(above, same, paired) == [0]


def test_the_power_is_that_of_the_noncentral_t():
    n, d = 30, A - B
    centre, edge = np.sqrt(n) * d.mean() / d.std(), stats.t.ppf(0.975, n - 1)
    wanted = stats.nct.sf(edge, n - 1, centre) + stats.nct.cdf(-edge, n - 1, centre)
    found = power.simulated(A, B, n, trials=4000)
    assert found.n == 4000 and found.share == pytest.approx(wanted, abs=0.04) and 0.3 < wanted < 0.95


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("pair", [(A, B), (YES, NO)], ids=["numbers", "yes and no"])
def test_where_nothing_differs_5_percent_are_found_at_most(paired, pair):
    alarms = power.simulated(*pair, 40, paired, trials=4000, differ=False)
    assert alarms.share < 0.07
    assert power.simulated(*pair, 40, paired).share > 1.5 * alarms.share


def test_pairs_need_fewer_seeds_and_more_power_needs_more():
    paired, alone = power.seeds_needed(A, B), power.seeds_needed(A, B, paired=False)
    assert paired in power.SIZES and alone > 3 * paired
    assert power.seeds_needed(A, B, power=0.99) > paired > power.seeds_needed(A, B, power=0.3)
    assert power.seeds_needed(A, A + 1e-3 * B[::-1]) is None
    assert power.seeds_needed(A, B) == paired


def test_the_number_of_seeds_is_about_that_of_the_formula():
    d = A - B
    assert power.seeds_needed(A, B) == pytest.approx((2.8 * d.std() / d.mean()) ** 2, rel=0.6)


def test_the_committed_table_can_be_asked():
    lines = comparison.STUDY.load()
    a, b = (np.log([row["found"][name]["10"][0] for row in lines]) for name in ("ddim", "dpm++"))
    assert power.seeds_needed(a, b) < power.seeds_needed(a, b, paired=False) <= 64


# --- bad input


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [([1.0], [1.0], "a number for each of 2 seeds or more"), ([1.0, 2.0], [1.0, 2.0, 3.0], "two of one length"),
     ([], [], "2 seeds or more"), ([[1.0, 2.0]], [[1.0, 2.0]], "two of one length"),
     ([1.0, np.nan], [1.0, 2.0], "NaN or infinity"), ([1.0, 2.0], [1.0, np.inf], "NaN or infinity")],
)  # fmt: skip
def test_values_that_cannot_be_compared_are_refused(a, b, word):
    with pytest.raises(ValueError, match=word):
        power.simulated(a, b, 10)


@pytest.mark.parametrize(
    ("change", "word"),
    [({"n": 1}, "n=1"), ({"n": 2.5}, "n=2.5"), ({"n": True}, "n=True"),
     ({"trials": 0}, "trials=0"), ({"seed": -1}, "seed=-1")],
)  # fmt: skip
def test_numbers_that_are_not_whole_are_refused(change, word):
    with pytest.raises(ValueError, match=word):
        power.simulated(A, B, **{"n": 10} | change)


@pytest.mark.parametrize("share", [0.0, 1.0, 80, float("nan"), "0.8"])
def test_a_power_is_a_share(share):
    with pytest.raises(ValueError, match=f"power={share!r}"):
        power.seeds_needed(A, B, power=share)
