"""seed_or_sampler: one thing changes at a time, and the table's numbers are paired by seed."""

import numpy as np
import pytest

from t2v_helpers import metrics
from t2v_helpers.studies import comparison
from t2v_helpers.studies import seed_or_sampler as study

CALLS = 4


@pytest.fixture(scope="module")
def line(toy_pipe):
    """The line of seed 2, with few calls."""
    return study.line(toy_pipe, 2, settings=((9, CALLS),))


def test_the_settings_hold_the_blogs_own():
    assert (9, 50) in study.SETTINGS


def test_a_video_is_that_of_the_comparison_at_this_guidance(toy_pipe):
    prompt = comparison.prompt_of(3).caption
    made = study.video(toy_pipe, prompt, 3, 4, "lms", CALLS)
    predict, eps, abar = comparison.start(toy_pipe, 3)
    x = comparison.arrive("lms", predict, eps, comparison.fair_grid("lms", CALLS, abar))
    assert np.array_equal(made, study.denoising.decode_latents(toy_pipe, x)[0])
    assert not np.array_equal(made, study.video(toy_pipe, prompt, 3, 9, "lms", CALLS))


def test_a_line_changes_one_thing_at_a_time(line, toy_pipe):
    found = line["found"]["dog"]["9"][str(CALLS)]
    assert list(found) == [study.BASE, *study.WAYS] and found[study.BASE][0] == 0
    assert all(levels > 0 for way, (levels, _) in found.items() if way != study.BASE)
    ours, seed = (study.video(toy_pipe, study.PROMPTS["dog"], s, 9, "dpm++", CALLS) for s in (2, 2 + study.OTHER))
    assert found[study.SEED][0] == pytest.approx(metrics.grey_levels(ours, seed), abs=0.01)
    assert found[study.SEED][1] == metrics.digits(seed, study.cartoon.parse(study.PROMPTS["dog"]))


def rows(*levels):
    """A row for each pair of (another seed, ddim), in grey levels."""
    cell = [{study.SEED: [seed, "1111"], "ddim": [ddim, "1011"], "lms": [1.0, "1111"], "pndm": [9.0, "1111"]}
            for seed, ddim in levels]  # fmt: skip
    found = [{p: {str(g): {str(n): one} for g, n in study.SETTINGS} for p in study.PROMPTS} for one in cell]
    return [{"seed": i, "prompt": "", "found": one} for i, one in enumerate(found)]


def test_the_table_is_read_in_pairs():
    lines = rows((20, 5), (30, 15), (40, 25))
    assert study.changes(lines, "dog")["guidance 9, 50 calls"][study.SEED].value == 30
    paired = study.against_seed(lines, "dog", 9, 50, "ddim")
    assert (paired.value, paired.low, paired.high) == (-15, -15, -15), "what the seeds have in common cancels"
    assert study.as_asked(lines, "dog", 9, 50, "ddim").k == 0
    assert study.as_asked(lines, "dog", 9, 50, "lms").k == 3


def test_the_summary_has_a_row_for_each_sentence_and_setting():
    text = study.summary(rows((20, 5), (30, 15)))
    assert len(text.splitlines()) == 1 + len(study.PROMPTS) * len(study.SETTINGS)
    assert "guidance 9, 50 calls" in text and "25.0" in text


def test_what_the_table_lacks_is_named():
    with pytest.raises(ValueError, match="no 11 in found dog 9: it has 50"):
        study.against_seed(rows((20, 5), (30, 15)), "dog", 9, 11, "ddim")
