"""settings.js: a link holds everything, and one that is wrong says so."""

import pytest

STANDARD = {
    "prompt": "A Robot is dancing in the Times Square",
    "seed": 1234,
    "steps": 6,
    "guidance": 4,
    "sampler": "dpm++",
}
OTHER = {"prompt": "ein Hund & 50% #1 🦊", "seed": 0, "steps": 3, "guidance": 1.5, "sampler": "ddim"}
KNOWN = {"steps": 6, "guidance": 4, "samplers": ["dpm++", "ddim"], "spacing": "leading", "abar": [0.5] * 1000}


@pytest.fixture
def read(js):
    return lambda link: js("settings.js", "m.fromHash(data[0], data[1])", [link, KNOWN])


@pytest.mark.parametrize(
    "settings", [[STANDARD], [OTHER], [OTHER, STANDARD | {"seed": 0}]], ids=["one", "other", "two"]
)
def test_a_link_brings_back_its_settings(js, read, settings):
    link = js("settings.js", "m.toHash(data)", settings)
    assert read(link) == {"settings": settings, "problems": []}


def test_what_a_link_leaves_out_is_the_standard(read):
    assert read("#seed=7")["settings"] == [STANDARD | {"seed": 7}]
    assert read("")["settings"] == [STANDARD]


@pytest.mark.parametrize("part", [
    "seed=-1", "seed=4294967296", "seed=1.5", "seed=", "seed=x", "steps=0", "steps=51", "steps=1e9", "guidance=0.5",
    "guidance=NaN", "guidance=16", "guidance=2.25", "sampler=euler", "sampler=constructor", "steps2=0",
])  # fmt: skip
def test_a_wrong_number_of_a_link_is_named_and_not_taken(read, part):
    found = read(f"#{part}")
    assert found["settings"][0] == STANDARD and found["settings"][-1] == STANDARD
    assert len(found["problems"]) == 1 and part in found["problems"][0]


def test_a_single_step_of_ddim_is_refused(js):
    of = lambda **changes: js("settings.js", "m.wrongNumber(...data)", [STANDARD | changes, KNOWN])  # noqa: E731
    assert "steps = 1" in of(sampler="ddim", steps=1)
    assert of(steps=1) == of(sampler="ddim", steps=2) == ""


def test_a_student_has_its_own_standard(read, js):
    student = KNOWN | {"steps": 2, "guidance": 0, "samplers": ["ddim"], "spacing": "trailing"}
    found = js("settings.js", "m.fromHash(data[0], data[1])", ["#sampler=dpm%2B%2B", student])
    assert found["settings"] == [STANDARD | {"steps": 2, "guidance": 1, "sampler": "ddim"}]
    assert len(found["problems"]) == 1
