"""settings.js: a link holds everything, and one that is wrong says so."""

import pytest

PROMPT = "A Robot is dancing in the Times Square"
STUDENT = {"prompt": PROMPT, "seed": 1234, "model": "student", "steps": 2, "guidance": 1, "sampler": "ddim"}
TEACHER = STUDENT | {"model": "teacher", "steps": 6, "guidance": 4, "sampler": "dpm++"}
OTHER = TEACHER | {"prompt": "ein Hund & 50% #1 🦊", "seed": 0, "steps": 3, "guidance": 1.5, "sampler": "ddim"}
ABAR = {"abar": [0.5] * 1000}
MODELS = {
    "student": {"counts": [1, 2, 4], "steps": 2, "guidance": 1, "samplers": ["ddim"], "spacing": "trailing"} | ABAR,
    "teacher": {
        "counts": [*range(1, 51)], "steps": 6, "guidance": 4, "samplers": ["dpm++", "ddim"], "spacing": "leading"
    } | ABAR,
}  # fmt: skip
KNOWN = {"models": MODELS}


@pytest.fixture
def read(js):
    return lambda link: js("settings.js", "m.fromHash(data[0], data[1])", [link, KNOWN])


@pytest.fixture
def wrong(js):
    return lambda settings: js("settings.js", "m.wrongSetting(...data)", [settings, KNOWN])


@pytest.mark.parametrize(
    "settings",
    [[STUDENT], [TEACHER], [OTHER], [STUDENT, TEACHER], [OTHER, STUDENT | {"seed": 0, "steps": 4}]],
    ids=["student", "teacher", "other", "both", "both, other"],
)
def test_a_link_brings_back_its_settings(js, read, settings):
    link = js("settings.js", "m.toHash(data)", settings)
    assert read(link) == {"settings": settings, "problems": []}


def test_what_a_link_leaves_out_is_the_models_own(read):
    assert read("")["settings"] == [STUDENT]
    assert read("#seed=7&steps=4")["settings"] == [STUDENT | {"seed": 7, "steps": 4}]
    assert read("#seed=7&model=teacher")["settings"] == [TEACHER | {"seed": 7}]
    assert read("#steps=1&model2=teacher")["settings"] == [STUDENT | {"steps": 1}, TEACHER]
    assert read("#model=teacher&steps=9&prompt2=x")["settings"][1] == TEACHER | {"prompt": "x", "steps": 9}


@pytest.mark.parametrize("model, part", [
    *[("student", part) for part in ("seed=-1", "seed=4294967296", "seed=1.5", "seed=", "seed=x", "steps=0", "steps=3",
                                     "steps=", "steps=1e9", "guidance=4", "guidance=NaN", "sampler=dpm%2B%2B",
                                     "steps2=3", "model2=wan")],
    *[("teacher", part) for part in ("steps=0", "steps=51", "steps=2.5", "guidance=0.5", "guidance=16", "guidance=2.25",
                                     "sampler=euler", "sampler=constructor", "steps2=0")],
])  # fmt: skip
def test_a_wrong_part_of_a_link_is_named_and_not_taken(read, model, part):
    found = read(f"#model={model}&{part}")
    standard = {"student": STUDENT, "teacher": TEACHER}[model]
    assert found["settings"][0] == standard and found["settings"][-1] == standard
    assert len(found["problems"]) == 1 and part.replace("%2B", "+") in found["problems"][0]


@pytest.mark.parametrize("model", ["", "wan", "constructor"])
def test_an_unknown_model_is_named_and_the_student_taken(read, model):
    found = read(f"#model={model}&steps=4")
    assert found["settings"] == [STUDENT | {"steps": 4}]
    assert found["problems"] == [f"The link says model={model}. model = {model} is not known: use student or teacher."]


def test_of_a_long_value_only_the_beginning_is_repeated(read):
    (problem,) = read(f"#sampler={'x' * 10_000}")["problems"]
    assert "sampler = xxx" in problem and len(problem) < 200


def test_the_student_says_what_it_takes(wrong):
    assert wrong(STUDENT) == wrong(STUDENT | {"steps": 1}) == wrong(STUDENT | {"steps": 4}) == ""
    assert wrong(STUDENT | {"steps": 3}) == "steps = 3 is not allowed: the student takes 1, 2 or 4."
    assert "the student has it inside" in wrong(STUDENT | {"guidance": 4})
    assert "the teacher takes 1 to 50" in wrong(TEACHER | {"steps": 51})


def test_a_single_step_of_leading_ddim_is_refused(wrong):
    assert "steps = 1" in wrong(TEACHER | {"sampler": "ddim", "steps": 1})
    assert wrong(TEACHER | {"steps": 1}) == wrong(TEACHER | {"sampler": "ddim", "steps": 2}) == ""


def test_a_video_says_how_it_was_made(js):
    of = lambda setting: js("settings.js", "m.described(...data)", [setting, KNOWN])  # noqa: E731
    assert of(STUDENT) == "student, 2 steps of DDIM, seed 1234"
    assert of(STUDENT | {"steps": 1}) == "student, 1 step of DDIM, seed 1234"
    assert of(TEACHER) == "teacher, 6 steps of DPM-Solver++ 2M, guidance 4, seed 1234"


def test_the_other_model_makes_the_same_sentence_from_the_same_noise(js):
    of = lambda *data: js("settings.js", "m.ofModel(...data)", data)  # noqa: E731
    asked = STUDENT | {"prompt": "a dog", "seed": 7, "steps": 4}
    assert of("teacher", asked, KNOWN) == TEACHER | {"prompt": "a dog", "seed": 7}
    assert of("student", asked, KNOWN) == of("wan", asked, KNOWN) == asked
