"""What a page gets: a video with its poster and caption, and a picture for viewers that drop videos."""

import base64
import io
import subprocess
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib import pyplot as plt
from PIL import Image

from t2v_helpers.core import video
from t2v_helpers.core.paths import ROOT
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.show import display

matplotlib.use("agg")


def a_video(f=16, h=64, w=64, seed=0):
    """A square that moves before a smooth background: uint8 [f h w 3]."""
    y, x = np.mgrid[:h, :w]
    background = np.stack([x * 255 // w, y * 255 // h, np.full_like(x, 40 + 50 * seed)], -1)
    frames = np.stack([background] * f).astype(np.uint8)
    for i in range(f):
        frames[i, 8:24, i : 16 + i] = (250, 60, 30)
    return frames


def a_generation(prompt="a dog is dancing", seed=0, **spec):
    frames = a_video(seed=seed)
    return SimpleNamespace(frames=frames, record=SimpleNamespace(spec=GenerationSpec(prompt, seed=seed, **spec)))


class Page(HTMLParser):
    """The tags of a page with their attributes, and its words."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def video(self):
        (found,) = [attrs for tag, attrs in self.tags if tag == "video"]
        return found


def from_uri(uri, kind):
    head, data = uri.split(",", 1)
    assert head == f"data:{kind};base64"
    return base64.b64decode(data, validate=True)


def picture(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def frames_in(html, tmp_path):
    (tmp_path / "page.mp4").write_bytes(from_uri(Page(html).video["src"], "video/mp4"))
    return video.read_mp4(tmp_path / "page.mp4")


@pytest.fixture
def shown():
    """Calls something in a shell, and gives what it displays: a list of (data, metadata)."""
    InteractiveShell.instance()

    def call(show, *args, **kwargs):
        with capture_output() as captured:
            assert show(*args, **kwargs) is None
        assert captured.stdout == captured.stderr == ""
        return [(output.data, output.metadata) for output in captured.outputs]

    yield call
    InteractiveShell.clear_instance()


def test_show_video_gives_a_video_and_a_picture(shown, tmp_path):
    made = a_generation(seed=3, guidance=4.0)
    (page, _), (strip, meta) = shown(display.show_video, made, title="my first")
    assert set(page) == {"text/html", "text/plain"} and set(strip) == {"image/png", "text/plain"}
    tag = Page(page["text/html"]).video
    assert {"loop", "muted", "controls", "playsinline"} <= set(tag) and "autoplay" not in tag
    assert (tag["width"], tag["height"]) == ("256", "256")
    frames = frames_in(page["text/html"], tmp_path)
    assert frames.shape == (16, 256, 256, 3)
    assert np.abs(frames.astype(int) - video.enlarge(made.frames, 4)).mean() < 4
    assert page["text/plain"] == "my first\na dog is dancing\ndpm++, 25 steps, guidance 4, seed 3"
    assert meta["image/png"]["alt"] == strip["text/plain"]
    assert strip["text/plain"] == "filmstrip: 16 frames, a dog is dancing, dpm++, 25 steps, guidance 4, seed 3"


def test_the_poster_is_the_middle_frame():
    poster = picture(from_uri(Page(display.video_html(a_video())).video["poster"], "image/png"))
    differences = [np.abs(poster.astype(int) - video.enlarge(frame, 4)).mean() for frame in a_video()]
    assert np.argmin(differences) == 8 and differences[8] < 4


def test_the_filmstrip_holds_eight_frames_evenly_spaced(shown):
    (_, _), (strip, _) = shown(display.show_video, a_video())
    image = picture(base64.b64decode(strip["image/png"]))
    expected = video.filmstrip(video.enlarge(a_video()[::2], 2))
    assert image.shape == expected.shape == (128, 8 * 130 - 2, 3)
    assert np.abs(image.astype(int) - expected).mean() < 4


def test_the_caption_is_in_the_page():
    words = Page(display.video_html(a_generation(guidance=2.5, scheduler="ddim", steps=7), "first")).words
    assert words == ["first", "a dog is dancing", "ddim, 7 steps, guidance 2.5, seed 0"]
    assert Page(display.video_html(a_video())).words == []
    assert "guidance of the model" in display.caption(a_generation())


def test_autoplay_fps_and_scale_are_passed_on(tmp_path):
    html = display.video_html(a_video(), autoplay=True, fps=4, scale=2)
    assert "autoplay" in Page(html).video and frames_in(html, tmp_path).shape == (16, 128, 128, 3)
    assert from_uri(Page(html).video["src"], "video/mp4") == video.mp4_bytes(a_video(), fps=4, scale=2)


def test_the_same_video_gives_the_same_page(shown):
    assert shown(display.show_video, a_generation()) == shown(display.show_video, a_generation())


def test_what_is_embedded_is_small(shown):
    (page, _), (strip, _) = shown(display.show_video, a_generation())
    assert len(page["text/html"]) + len(strip["image/png"]) < 120_000


def test_a_large_video_is_not_enlarged_and_its_stills_are_made_smaller(shown, tmp_path):
    (page, _), (strip, _) = shown(display.show_video, video.enlarge(a_video(f=4), 4))
    assert frames_in(page["text/html"], tmp_path).shape == (4, 256, 256, 3)
    assert picture(base64.b64decode(strip["image/png"])).shape == (128, 4 * 130 - 2, 3)


@given(st.text(min_size=1))
@settings(max_examples=60, deadline=None)
def test_any_words_are_shown_as_they_are(text):
    asked = display.caption(SimpleNamespace(frames=None, record=SimpleNamespace(spec=GenerationSpec(text))))
    page = Page(display._caption_html(text, asked))
    assert {tag for tag, _ in page.tags} <= {"b", "br"}
    assert "".join(page.words).replace("\n", "") == (text + asked).replace("\n", "")


def test_words_cannot_leave_their_attribute():
    html = display.video_html(a_generation('"><script>alert(1)</script>'), 'x" onload="y')
    page = Page(html)
    assert [tag for tag, _ in page.tags if tag == "script"] == [] and "onload" not in page.video
    assert page.video["aria-label"].startswith('"><script>alert(1)</script>')


def test_show_filmstrip_shows_every_frame(shown):
    (line, _), (strip, _) = shown(display.show_filmstrip, a_generation(), "all", columns=4)
    assert Page(line["text/html"]).words[0] == "all"
    image = picture(base64.b64decode(strip["image/png"]))
    assert np.abs(image.astype(int) - video.filmstrip(video.enlarge(a_video(), 2), 4)).mean() < 4


def test_bare_frames_without_a_title_have_no_caption(shown):
    ((strip, _),) = shown(display.show_filmstrip, a_video(f=3))
    assert strip["text/plain"] == "filmstrip: 3 frames"


def test_show_filmstrip_labels_each_frame(shown):
    ((strip, _),) = shown(display.show_filmstrip, a_video(f=3), labels=["t = 999", "t = 500", ""])
    image = picture(base64.b64decode(strip["image/png"]))
    assert image.shape == (128 + video.BAR, 3 * 130 - 2, 3)
    dark = [(image[: video.BAR, left : left + 128] < 100).any() for left in (0, 130, 260)]
    assert dark == [True, True, False]


def test_show_grid_shows_all_in_step(shown, tmp_path):
    made = [a_generation(f"prompt {i}", seed=i, guidance=4.0) for i in range(3)]
    (page, _), (strip, _) = shown(display.show_grid, made, title="three")
    frames = frames_in(page["text/html"], tmp_path)
    assert frames.shape == (16, 256 + video.BAR, 3 * 258 - 2, 3)
    for i, one in enumerate(made):
        tile = frames[:, video.BAR :, 258 * i : 258 * i + 256]
        assert np.abs(tile.astype(int) - video.enlarge(one.frames, 4)).mean() < 6
    assert page["text/plain"] == "three\nprompt 0 | prompt 1 | prompt 2\ndpm++, 25 steps, guidance 4, seed 0, 1, 2"
    assert picture(base64.b64decode(strip["image/png"])).shape == (3 * (128 + video.BAR), 8 * 130 - 2, 3)


def test_fewer_stills_are_larger_and_many_clips_keep_their_size(shown):
    _, (strip, _) = shown(display.show_grid, [a_video(w=256)] * 2, stills=2)
    assert picture(base64.b64decode(strip["image/png"])).shape == (2 * 128, 2 * 514 - 2, 3)
    _, (strip, _) = shown(display.show_grid, [a_video()] * 5)
    image = picture(base64.b64decode(strip["image/png"]))
    assert image.shape == (5 * 128, 8 * 130 - 2, 3) and len(np.unique(image.reshape(-1, 3), axis=0)) <= 128
    with pytest.raises(ValueError, match="stills=9 is not allowed"):
        display.show_grid([a_video()], stills=9)


def test_show_grid_says_in_what_the_generations_differ(shown):
    made = [a_generation(guidance=4.0, scheduler=name) for name in ("ddim", "dpm++")]
    (page, _), _ = shown(display.show_grid, made, titles=["DDIM", "DPM-Solver++"])
    assert Page(page["text/html"]).words == ["a dog is dancing", "ddim, dpm++, 25 steps, guidance 4, seed 0"]


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 3), (16, 4)])
def test_a_grid_is_as_square_as_it_can_be(count, columns):
    frames = display._tiles([a_video(f=1)] * count, [""] * count, None, None)
    scale = 4 if columns < 4 else 3
    assert frames.shape[2] == columns * (64 * scale + 2) - 2


def test_a_grid_of_bare_frames_has_no_bars(shown, tmp_path):
    (page, _), _ = shown(display.show_grid, [a_video(f=2)] * 2, scale=2)
    assert frames_in(page["text/html"], tmp_path).shape == (2, 128, 2 * 130 - 2, 3)


@pytest.mark.parametrize(
    ("titles", "given"), [(["a"], "1 texts"), (["a", "b", "c"], "3 texts"), ("ab", "the text 'ab'")]
)
def test_another_number_of_titles_is_refused(titles, given):
    with pytest.raises(ValueError, match=f"titles is {given}, but there are 2 clips: give a list"):
        display.show_grid([a_video()] * 2, titles=titles)


def test_another_number_of_labels_is_refused():
    with pytest.raises(ValueError, match="labels .*1 .*2 frames"):
        display.show_filmstrip(a_video(f=2), labels=["a"])


@pytest.mark.parametrize("show", [display.show_video, display.show_filmstrip, lambda clip: display.show_grid([clip])])
def test_what_is_no_video_is_refused(show):
    with pytest.raises(ValueError, match=r"frames .*float64 \[2, 8, 8, 3\].*\[f h w 3\]"):
        show(np.zeros((2, 8, 8, 3)))


def test_odd_sizes_and_bad_scales_are_refused():
    with pytest.raises(ValueError, match="301 x 301 pixels at scale=1, but H.264"):
        display.show_video(a_video(f=1, h=301, w=301))
    with pytest.raises(ValueError, match="scale=0"):
        display.show_video(a_video(f=1), scale=0)
    with pytest.raises(ValueError, match="one shape"):
        display.show_grid([])


def test_axes_have_labels_and_lines_that_differ():
    figure, ax = display.axes("steps", "seconds", "cost")
    lines = [ax.plot([0, 1], [k, k])[0] for k in range(8)]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("steps", "seconds", "cost")
    assert len({line.get_color() for line in lines}) == 8
    assert len({line.get_linestyle() for line in lines[:4]}) == 4
    plt.close(figure)


@pytest.mark.parametrize(("xlabel", "ylabel", "name"), [("", "y", "xlabel"), ("x", " ", "ylabel")])
def test_axes_without_a_label_are_refused(xlabel, ylabel, name):
    with pytest.raises(ValueError, match=f"{name} is empty"):
        display.axes(xlabel, ylabel)


def test_the_palette_is_told_apart_without_colour_vision():
    """Red-green blindness (Viénot et al. 1999, deuteranopia): no two colours may fall together."""
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in display.PALETTE]) ** 2.2
    seen = rgb @ np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]).T
    gaps = np.abs(seen[:, None] - seen[None]).max(-1) + np.eye(len(seen))
    assert gaps.min() > 0.05


def test_a_matrix_is_written_in_its_colours():
    figure, ax = plt.subplots()
    display.matrix(ax, np.array([[0.0, 1.0, -0.001]]), ["one"], ["a", "b", "c"], 0, 1)
    plt.close(figure)
    assert [(text.get_text(), text.get_color()) for text in ax.texts] == [
        ("0.00", "white"), ("1.00", "black"), ("0.00", "white")]  # fmt: skip
    assert [text.get_text() for text in (*ax.get_yticklabels(), *ax.get_xticklabels())] == ["one", "a", "b", "c"]


def test_a_matrix_without_all_names_is_refused():
    with pytest.raises(ValueError, match=r"values .*\[1, 2\].*\[1, 1\]"):
        display.matrix(None, np.zeros((1, 2)), ["one"], ["a"], 0, 1)


def test_maps_stand_below_the_frames(shown):
    maps = {"dog": np.eye(8)[None].repeat(2, 0), "is": np.ones((2, 8, 8))}
    ((data, _),) = shown(display.show_maps, a_video(f=2), maps, "two words")
    assert data["text/plain"] == "two words; rows: the video, dog, is"
    assert picture(base64.b64decode(data["image/png"])).std() > 10 and not plt.get_fignums()


@pytest.mark.parametrize("one", [np.zeros((3, 8, 8)), np.zeros((2, 8))])
def test_a_map_that_does_not_fit_the_clip_is_refused(one):
    with pytest.raises(ValueError, match=r"'dog' .*\[f h w\].*2"):
        display.show_maps(a_video(f=2), {"dog": one}, "")


def test_a_figure_is_a_small_picture_with_a_description(shown):
    figure, ax = plt.subplots(figsize=(4, 3), dpi=50)
    ax.plot([1, 2])
    plt.close(figure)
    ((data, about),) = shown(display.show_figure, figure, "a line that rises")
    assert picture(base64.b64decode(data["image/png"])).shape[:2] == (150, 200)
    assert about["image/png"]["alt"] == data["text/plain"] == "a line that rises"


def test_a_first_video_does_not_wait_for_matplotlib():
    code = "import sys; from t2v_helpers.show.display import show_video; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False"]
