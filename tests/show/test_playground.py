"""The playground makes what its controls say, says what is wrong in the page, and stands still without a live page."""

import base64
import re
from html import unescape

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbclient import NotebookClient

from t2v_helpers import cartoon
from t2v_helpers.model import loading
from t2v_helpers.model.generate import generate
from t2v_helpers.show import display, playground
from t2v_helpers.show.playground import Playground


@pytest.fixture
def play(toy_pipe):
    """A playground on the toy model, quick: two steps."""
    made = Playground(toy_pipe)
    made.steps.value = 2
    return made


@pytest.fixture
def no_marks(monkeypatch):
    """As in a plain terminal, whatever runs these tests."""
    for name in ("T2V_HEADLESS", "JPY_SESSION_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def shell():
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def message(play):
    assert play.message.value.count("<p") == 1
    return unescape(re.sub(r"<.*?>", "", play.message.value))


def test_generate_shows_the_video_of_the_controls(play):
    play.words["subject"].value, play.words["style"].value = "cat", "van gogh"
    play.scheduler.value, play.guidance.value, play.seed.value = "ddim", 2.5, 7
    spec = play.spec()
    assert spec.prompt == "a cat is dancing in times square in van gogh style"
    assert (spec.scheduler, spec.steps, spec.guidance, spec.seed, spec.frames) == ("ddim", 2, 2.5, 7, 16)
    play.button.click()
    assert play.result.value == display.video_html(generate(play.pipe, spec), autoplay=True)
    assert "ddim, 2 steps, guidance 2.5, seed 7" in play.result.value and play.message.value == ""


def test_what_is_asked_at_first_is_the_models_own(play):
    first = playground.first_spec(play.pipe)
    assert Playground(play.pipe).spec() == first
    assert first.guidance == loading.defaults(play.pipe).guidance
    assert cartoon.parse(first.prompt) == playground.FIRST


def test_every_word_can_be_chosen_and_writes_the_sentence(play):
    for name, choice in play.words.items():
        for word in choice.options:
            choice.value = word
            if play.message.value == "":
                assert getattr(cartoon.parse(play.sentence.value), name) == word
        choice.value = getattr(playground.FIRST, name)


def test_the_sentence_may_be_written_by_hand(play):
    play.sentence.value = "A cartoon of a dog dancing in Van Gogh style"
    play.button.click()
    assert "A cartoon of a dog dancing in Van Gogh style" in play.result.value


def test_progress_counts_the_steps_and_the_button_waits(play):
    seen = []
    play.progress.observe(lambda change: seen.append((change["new"], play.button.disabled)), "value")
    play.button.click()
    assert seen == [(1, True), (2, True)] and play.progress.max == 2
    assert not play.button.disabled and play.progress.layout.visibility == "hidden"


@pytest.mark.parametrize(
    ("control", "value", "said"),
    [
        ("sentence", "a zebra <b> is dancing", "does not know 'zebra', 'b', '<', '>': it knows a, an"),
        ("sentence", "  ", "prompt is empty"),
        ("sentence", "dog " * 40, "dog"),
        ("seed", -1, "seed"),
    ],
)
def test_bad_input_is_one_sentence_in_the_page(play, control, value, said):
    before = play.result.value
    control = getattr(play, control)
    good, control.value = control.value, value
    play.button.click()
    assert message(play).startswith("No new video: ") and said in message(play)
    assert play.result.value == before and not play.button.disabled
    control.value = good
    play.button.click()  # and all is well again
    assert play.message.value == "" and "<video" in play.result.value


def test_words_that_do_not_go_together_are_refused_at_once(play):
    play.words["action"].value = "riding a horse"
    assert "riding a horse" in play.sentence.value and play.message.value == ""
    play.words["subject"].value = "elephant"
    assert "elephant cannot ride a horse; choose a rider" in message(play) and play.button.disabled
    play.words["action"].value = "sleeping"
    assert play.message.value == "" and not play.button.disabled and "elephant" in play.sentence.value


def test_a_sentence_by_hand_mends_a_bad_choice(play):
    play.words["action"].value, play.words["subject"].value = "riding a horse", "fish"
    assert play.button.disabled
    play.sentence.value = "a fish is jumping"
    assert not play.button.disabled and play.message.value == ""


def test_the_words_of_a_lora_are_known(toy_folder):
    pipe = loading.load(toy_folder, device="cpu")
    play = Playground(pipe)
    play.sentence.value = "a dog is dancing in sepia"
    with pytest.raises(ValueError, match="does not know 'sepia'"):
        play.spec()
    pipe.new_words = ("sepia",)
    assert play.spec().prompt == "a dog is dancing in sepia"


def test_too_little_memory_is_said_in_the_page(play, monkeypatch):
    monkeypatch.setattr("t2v_helpers.machine.probe.memory_bytes", lambda: (1000, 1000))
    play.button.click()
    assert "GiB beside the model" in message(play)


def test_the_real_model_takes_any_sentence(hub_pipe):
    play = Playground(hub_pipe)
    assert play.words == {}
    play.sentence.value = "a zebra in the snow"
    assert play.spec().prompt == "a zebra in the snow" and play.spec().guidance == 9


@pytest.mark.parametrize(("name", "value", "live"), [
    ("T2V_HEADLESS", "1", False), ("T2V_HEADLESS", "0", True), ("JPY_SESSION_NAME", "a.ipynb", True), ("X", "", False),
])  # fmt: skip
def test_a_live_page_is_known_by_its_marks(no_marks, shell, monkeypatch, name, value, live):
    monkeypatch.setenv(name, value)
    assert playground.is_live() is live


def test_headless_wins_over_every_mark(no_marks, shell, monkeypatch):
    shell.user_ns["__vsc_ipynb_file__"] = "a.ipynb"
    assert playground.is_live()
    monkeypatch.setenv("T2V_HEADLESS", "1")
    assert not playground.is_live()


def test_without_a_shell_there_is_no_page(no_marks, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "a.ipynb")
    assert not playground.is_live()


def test_a_headless_that_says_nothing_is_refused(monkeypatch):
    monkeypatch.setenv("T2V_HEADLESS", "yes")
    with pytest.raises(ValueError, match="T2V_HEADLESS='yes'"):
        playground.is_live()


def still(pipe):
    with capture_output() as captured:
        playground.show(pipe)
    return [output.data for output in captured.outputs]


def test_the_still_is_a_caption_and_a_filmstrip_and_always_the_same(no_marks, shell, toy_pipe):
    first = still(toy_pipe)
    assert [set(data) for data in first] == [{"text/html", "text/plain"}, {"image/png", "text/plain"}]
    assert first[0]["text/plain"].startswith(f"{playground.NO_PAGE}\na robot is dancing in times square\ndpm++, 25")
    assert base64.b64decode(first[1]["image/png"]).startswith(b"\x89PNG")
    assert still(toy_pipe) == first


SHOW = """
from t2v_helpers.model import loading
from t2v_helpers.show import playground
pipe = loading.load({folder!r}, device="cpu", dtype="float32")
playground.show(pipe)
"""
PLAY = """
import os
os.environ["T2V_HEADLESS"] = "0"
playground.show(pipe)
play = playground.Playground(pipe)
play.steps.value = 1
play.button.click()
print(play.message.value or "made", "<video" in play.result.value)
"""


@pytest.mark.timeout(600)  # a fresh kernel imports everything: a machine that is busy takes its time
def test_in_a_real_kernel_a_run_shows_the_still_and_a_page_the_controls(toy_folder, no_marks):
    cells = [nbformat.v4.new_code_cell(source.format(folder=str(toy_folder)).strip()) for source in (SHOW, PLAY)]
    NotebookClient(
        nbformat.v4.new_notebook(cells=cells), timeout=540, startup_timeout=300, kernel_name="python3"
    ).execute()
    assert [set(o.data) for o in cells[0].outputs] == [{"text/html", "text/plain"}, {"image/png", "text/plain"}]
    controls, said = cells[1].outputs
    assert "application/vnd.jupyter.widget-view+json" in controls.data
    assert said.text == "made True\n"
