"""The page in Chromium, from the disk and without a network: web/test/browser.js looks, and this says what must be."""

import base64
import io
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from t2v_helpers.core.paths import ROOT
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.model import loading
from t2v_helpers.model.generate import generate

SENTENCES = [
    "A monkey is riding a horse around a lake",
    "A Robot is dancing in the Times Square",
    "A cartoon of a dog dancing in Van Gogh style",
]
SHAPE = (16, 64, 64, 3)
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def seen(page, in_chromium) -> dict:
    return in_chromium("browser.js", page, *filter(None, [os.environ.get("T2V_SCREENSHOTS")]))


@pytest.fixture(scope="module")
def in_firefox(page, node, packages) -> list[str]:
    """What is said of the page in Firefox, and the frames of its first video."""
    if not shutil.which("firefox-esr") and not shutil.which("firefox"):
        pytest.skip("there is no Firefox here: install it (Debian: apt-get install firefox-esr)")
    command = [node, ROOT / "web" / "test" / "firefox.js", page, "--frames"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[:3000] + done.stderr[-3000:]
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def isolated(page, in_chromium) -> dict:
    """The page from a server whose headers isolate it."""
    return in_chromium("threads.js", page)


@pytest.fixture(scope="module")
def student(page):  # without a student there is no page, and this is skipped
    return loading.load("cartoon", device="cpu", dtype="float32", quiet=True, fast=True)


def made(student, sentence: str = SENTENCES[1], **others) -> np.ndarray:
    """What Python makes of a sentence by the student; by itself, of that with which the page begins."""
    spec = {"seed": 1234, "guidance": 1.0} | loading.sampling(student) | others
    return generate(student, GenerationSpec(sentence, **spec)).frames


def frames(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(SHAPE)


def test_it_is_one_file_of_at_most_40_mb(page):
    assert page.stat().st_size <= 40e6


def test_it_asks_nothing_of_anyone(seen):
    assert seen["requests"] == [] and seen["errors"] == [] and seen["problem"] == ""


def test_the_three_sentences_of_the_blog_are_the_videos_of_python(seen, student):
    assert list(seen["videos"]) == SENTENCES
    for sentence, video in seen["videos"].items():
        assert abs(frames(video).astype(int) - made(student, sentence)).max() <= 2, sentence


def test_student_and_teacher_stand_side_by_side_from_the_same_noise(seen, student):
    teacher = loading.load("cartoon", device="cpu", dtype="float32", quiet=True)
    asked = GenerationSpec("a cat is jumping on the moon", scheduler="dpm++", steps=6, guidance=4.0, seed=2)
    expected = [made(student, asked.prompt, steps=4, seed=2), generate(teacher, asked).frames]
    for video, frames_of_python in zip(seen["both"], expected, strict=True):
        assert abs(frames(video).astype(int) - frames_of_python).max() <= 2
    assert all(part in seen["bothLink"] for part in ("model=student&steps=4", "model2=teacher&steps2=6&guidance2=4"))
    assert seen["teachersWordDims"]


def test_each_model_offers_what_it_can_be_asked(seen):
    assert seen["offered"] == {
        "student": {"steps": "2", "most": "2", "guided": False},  # the slider's third place, after 1 and 2, is 4
        "teacher": {"steps": "6", "most": "49", "guided": True},
    }


def test_firefox_makes_the_same_video(in_firefox, student):
    said, video = in_firefox
    assert said.startswith("ok")
    assert abs(frames(video).astype(int) - made(student)).max() <= 2


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors")
def test_where_the_page_is_isolated_several_threads_make_the_same_video(isolated, student):
    assert isolated["isolated"] and isolated["problem"] == "" and isolated["errors"] == []
    assert re.search(r" with [2-4] threads\.$", isolated["status"])
    assert abs(frames(isolated["frames"]).astype(int) - made(student)).max() <= 2


def test_a_link_holds_the_setting(seen):
    assert "#prompt=A+cartoon+of+a+dog" in seen["link"] and "seed=1234" in seen["link"]
    assert seen["sameAfterReload"]


def test_a_word_can_be_chosen(seen):
    assert seen["wordDims"]


def test_what_is_saved_can_be_read_by_others(seen):
    gif, webm, png = ((one["name"], base64.b64decode(one["bytes"])) for one in seen["saved"])
    assert [name.rpartition("-")[2] for name, _ in (gif, webm, png)] == ["1234.gif", "1234.webm", "1234.png"]
    read = Image.open(io.BytesIO(gif[1]))
    assert (read.n_frames, read.size) == (16, (256, 256))
    assert webm[1][:4] == b"\x1a\x45\xdf\xa3" and len(webm[1]) > 5000  # EBML, which WebM is written in
    assert Image.open(io.BytesIO(png[1])).size == (8 * 260 - 4, 2 * 260 - 4)


def test_two_settings_stand_side_by_side_on_a_phone_without_scrolling_sideways(seen):
    assert seen["screens"] == 2
    assert seen["phone"]["scroll"] <= seen["phone"]["inner"] == 390


def test_axe_finds_nothing_serious(seen):
    assert seen["axe"] == [] and seen["axePhone"] == []


def test_the_page_draws_on_while_it_computes_and_can_be_stopped(seen):
    assert seen["busy"] == "Stop" and seen["stopped"] == "Stopped."
    assert np.median(seen["gaps"]) < 34  # milliseconds: an idle machine draws 60 a second


def test_what_cannot_be_made_is_said(seen):
    for text, word in {"": "empty", "a zebra is dancing": "“zebra”", "a dog 🦊": "“🦊”", "x" * 20: "“xxx"}.items():
        assert word in seen["bad"][text]
    assert "22 fit" in seen["bad"]["dog dog dog dog dog "]
    assert "steps=99" in seen["wrongLink"]


@pytest.mark.parametrize(
    "kind, word", [("flipped", "damaged"), ("cut", "damaged"), ("known", "This page stopped"), ("noSimd", "SIMD")]
)
def test_a_page_that_cannot_work_says_why(seen, kind, word):
    assert word in seen["broken"][kind]
