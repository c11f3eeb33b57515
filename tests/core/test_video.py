"""Video files hold what was given, play in a browser, come out the same each time, or are refused in one sentence."""

import io
import re
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from t2v_helpers.core import video


def a_video(f=5, h=32, w=48, seed=0):
    """Frames with a smooth background and a square that moves: uint8 [f h w 3]."""
    y, x = np.mgrid[:h, :w]
    frames = np.stack([np.stack([x * 255 // w, y * 255 // h, np.full_like(x, 40 + seed)], -1)] * f).astype(np.uint8)
    for i in range(f):
        frames[i, 4:12, 4 + 4 * i : 12 + 4 * i] = (250, 60, 30)
    return frames


def probe(path):
    """What ffmpeg says of the streams of a file."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)]
    return subprocess.run(command, capture_output=True, text=True).stderr


@pytest.mark.parametrize("scale", [2, 4])
def test_mp4_comes_back_frame_by_frame(tmp_path, scale):
    frames = a_video()
    back = video.read_mp4(video.write_mp4(frames, tmp_path / "a.mp4", scale=scale))
    assert back.shape == (5, 32 * scale, 48 * scale, 3) and back.dtype == np.uint8
    difference = np.abs(back.astype(int) - video.enlarge(frames, scale))
    assert difference.mean() < 4 and np.percentile(difference, 99) < 24


def test_mp4_keeps_the_colours(tmp_path):
    colours = [(0, 0, 0), (255, 255, 255), (230, 30, 30), (30, 200, 30), (30, 30, 230), (250, 220, 90)]
    frames = np.stack([np.full((16, 16, 3), colour, np.uint8) for colour in colours])
    back = video.read_mp4(video.write_mp4(frames, tmp_path / "a.mp4", scale=2))
    np.testing.assert_allclose(back.mean((1, 2)), colours, atol=4)


def test_mp4_is_what_browsers_play(tmp_path):
    path = video.write_mp4(a_video(), tmp_path / "a.mp4", fps=8)
    said = probe(path)
    assert re.search(r"Video: h264 .*yuv420p\(tv, smpte170m.*48x32.* 8 fps", said), said
    assert "Duration: 00:00:00.6" in said  # 5 frames at 8 fps: 0.625 s
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # the index comes first, so a page can start at once


def test_equal_frames_give_equal_bytes(tmp_path):
    first = video.write_mp4(a_video(), tmp_path / "a.mp4", scale=2).read_bytes()
    second = video.write_mp4(a_video(), tmp_path / "b.mp4", scale=2).read_bytes()
    assert first == second == video.mp4_bytes(a_video(), scale=2)
    assert first != video.mp4_bytes(a_video(seed=9), scale=2)
    assert b"Lavf" not in first  # no version of the muxer, no date


def test_a_torch_tensor_is_taken_too():
    assert video.mp4_bytes(torch.from_numpy(a_video())) == video.mp4_bytes(a_video())


@pytest.mark.parametrize("shape", [(1, 2, 2, 3), (1, 64, 64, 3), (3, 18, 34, 3)])
def test_sizes_are_never_changed(tmp_path, shape):
    path = video.write_mp4(np.full(shape, 90, np.uint8), tmp_path / "a.mp4")
    assert video.read_mp4(path).shape == shape


@pytest.mark.parametrize("size", [(33, 48), (32, 47)])
def test_odd_sizes_are_refused_unless_scaled(tmp_path, size):
    frames = np.zeros((2, *size, 3), np.uint8)
    with pytest.raises(ValueError, match=rf"{size[0]} x {size[1]} pixels at scale=1.*use scale=2"):
        video.write_mp4(frames, tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())
    assert video.read_mp4(video.write_mp4(frames, tmp_path / "a.mp4", scale=2)).shape[1] == 2 * size[0]


BAD_FRAMES = {
    "float": np.zeros((2, 8, 8, 3), np.float32),
    "three axes": np.zeros((8, 8, 3), np.uint8),
    "channels first": np.zeros((2, 3, 8, 8), np.uint8),
    "empty": np.zeros((0, 8, 8, 3), np.uint8),
}


@pytest.mark.parametrize("frames", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_bad_frames_are_refused(tmp_path, frames):
    for act in (
        lambda: video.write_mp4(frames, tmp_path / "a.mp4"),
        lambda: video.write_gif(frames, tmp_path / "a.gif"),
        lambda: video.filmstrip(frames),
        lambda: video.grid([frames]),
    ):
        with pytest.raises(ValueError, match=r"frames is \w+ \[.*uint8 \[f h w 3\]"):
            act()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fps", [0, -8, 241, float("nan"), float("inf"), "8", True, None])
def test_bad_fps_is_refused(tmp_path, fps):
    with pytest.raises(ValueError, match="fps=.*240"):
        video.write_mp4(a_video(), tmp_path / "a.mp4", fps=fps)


@pytest.mark.parametrize("crf", [-1, 52, 18.5, "18", None])
def test_bad_crf_is_refused(crf):
    with pytest.raises(ValueError, match="crf=.* from 0 to 51"):
        video.mp4_bytes(a_video(), crf=crf)


def test_a_higher_crf_takes_fewer_bytes():
    assert len(video.mp4_bytes(a_video(), scale=4, crf=30)) < len(video.mp4_bytes(a_video(), scale=4))


def test_gif_refuses_what_browsers_slow_down(tmp_path):
    with pytest.raises(ValueError, match="fps=60.*50"):
        video.write_gif(a_video(), tmp_path / "a.gif", fps=60)


@pytest.mark.parametrize("scale", [0, -1, 1.5, True, "2"])
def test_bad_scale_is_refused(scale):
    with pytest.raises(ValueError, match="scale=.*whole number"):
        video.mp4_bytes(a_video(), scale=scale)
    with pytest.raises(ValueError, match="scale="):
        video.enlarge(a_video(), scale)


@pytest.mark.parametrize("scale", [171, 10**6])
def test_a_scale_that_would_fill_the_memory_is_refused(tmp_path, scale):
    with pytest.raises(ValueError, match=f"scale={scale} is not allowed: use a whole number from 1 to 170"):
        video.write_mp4(a_video(), tmp_path / "a.mp4", scale=scale)


@pytest.mark.parametrize("suffix", ["mp4", "gif", "png"])
def test_a_wrong_ending_is_refused(tmp_path, suffix):
    write = getattr(video, f"write_{suffix}")
    with pytest.raises(ValueError, match=rf"a\.avi' does not end in \.{suffix}"):
        write(a_video(), tmp_path / "a.avi")


def test_a_file_that_cannot_be_finished_leaves_nothing(tmp_path):
    """The system stops ffmpeg after 1 KiB, as a full disk would; run apart, since the limit is the process's."""
    code = (
        "import resource, sys, numpy as np\n"
        "from t2v_helpers.core import video\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))\n"
        "frames = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)\n"
        "try:\n    video.write_mp4(frames, sys.argv[1])\n"
        "except OSError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.mp4")], capture_output=True, text=True)
    assert re.search(r"ffmpeg could not write the video \(.+\): check that the disk has room", done.stdout), done
    assert not list(tmp_path.iterdir())


def test_a_missing_video_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.mp4 does not exist"):
        video.read_mp4(tmp_path / "nothing.mp4")


def test_damaged_videos_are_refused(tmp_path):
    whole = video.write_mp4(video.enlarge(a_video(f=12), 4), tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    (tmp_path / "text.mp4").write_text("no video")
    for name in ("cut.mp4", "text.mp4"):
        with pytest.raises(ValueError, match=rf"{name} gives \d+ of \d+ frames, so it is damaged"):
            video.read_mp4(tmp_path / name)


def test_gif_holds_frames_times_and_loop(tmp_path):
    frames = a_video(f=8)
    path = video.write_gif(frames, tmp_path / "a.gif", fps=8, scale=2)
    with Image.open(path) as gif:
        assert gif.n_frames == 8 and gif.size == (96, 64) and gif.info["loop"] == 0
        lasts, pictures = [], []
        for i in range(8):
            gif.seek(i)
            lasts.append(gif.info["duration"])
            pictures.append(np.asarray(gif.convert("RGB")))
    assert sum(lasts) == 1000 and set(lasts) == {120, 130}
    assert np.abs(np.stack(pictures).astype(int) - video.enlarge(frames, 2)).mean() < 6
    assert path.read_bytes() == video.write_gif(frames, tmp_path / "b.gif", fps=8, scale=2).read_bytes()


def test_png_is_exact_and_a_palette_makes_it_smaller(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    path = video.write_png(image, tmp_path / "a.png", scale=3)
    assert np.array_equal(np.asarray(Image.open(path)), video.enlarge(image, 3))
    few = video.png_bytes(image, 3, colours=64)
    assert len(few) < len(path.read_bytes()) and few == video.png_bytes(image, 3, colours=64)
    assert len(np.unique(np.asarray(Image.open(io.BytesIO(few)).convert("RGB")).reshape(-1, 3), axis=0)) <= 64


@pytest.mark.parametrize("colours", [0, 1, 257])
def test_bad_palettes_are_refused(colours):
    with pytest.raises(ValueError, match=f"colours={colours} .* 2 to 256"):
        video.png_bytes(a_video()[0], colours=colours)


def test_a_bad_picture_is_refused():
    with pytest.raises(ValueError, match=r"image .*\[5, 32, 48, 3\].*\[h w 3\]"):
        video.png_bytes(a_video())


def test_filmstrip_reads_like_text():
    frames = np.arange(1, 6, dtype=np.uint8)[:, None, None, None] * np.ones((5, 4, 6, 3), np.uint8)
    strip = video.filmstrip(frames, columns=3)
    assert strip.shape == (2 * 4 + 2, 3 * 6 + 4, 3)
    assert [strip[0, 0, 0], strip[0, 8, 0], strip[0, 16, 0], strip[6, 0, 0], strip[6, 8, 0]] == [1, 2, 3, 4, 5]
    assert (strip[6:, 16:] == 255).all() and (strip[4:6] == 255).all()
    assert video.filmstrip(frames[:2], columns=8).shape == (4, 14, 3)  # no empty columns


def test_grid_puts_videos_in_step():
    videos = [a_video(seed=s) for s in range(3)]
    sheet = video.grid(videos)
    assert sheet.shape == (5, 2 * 32 + 2, 2 * 48 + 2, 3)
    assert np.array_equal(sheet[:, :32, 50:], videos[1]) and np.array_equal(sheet[:, 34:, :48], videos[2])
    assert video.grid(videos, columns=3).shape == (5, 32, 3 * 48 + 4, 3)
    assert video.mp4_bytes(sheet)  # even frames give an even grid


def test_grid_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"\[5, 32, 48, 3\], \[6, 32, 48, 3\]"):
        video.grid([a_video(5), a_video(6)])
    with pytest.raises(ValueError, match="shapes none"):
        video.grid([])
    with pytest.raises(ValueError, match="columns=0"):
        video.grid([a_video()], columns=0)


def test_pick_spaces_frames_evenly():
    frames = np.broadcast_to(np.arange(16, dtype=np.uint8)[:, None, None, None], (16, 2, 2, 3))
    for count, kept in ((8, [*range(0, 16, 2)]), (5, [0, 3, 6, 9, 12]), (99, [*range(16)])):
        assert np.array_equal(video.pick(frames, count), frames[kept])
    with pytest.raises(ValueError, match="count=0"):
        video.pick(frames, 0)


@pytest.mark.parametrize("one", [5, None, np.uint8(5), torch.tensor(5)])
def test_one_number_is_no_video_and_no_list_of_them(tmp_path, one):
    for act in (
        lambda: video.pick(one, 3),
        lambda: video.enlarge(one, 2),
        lambda: video.reduce(one, 2),
        lambda: video.label(one, "text"),
        lambda: video.filmstrip(one),
        lambda: video.png_bytes(one),
        lambda: video.mp4_bytes(one),
        lambda: video.write_gif(one, tmp_path / "a.gif"),
        lambda: video.grid([one]),
    ):
        with pytest.raises(ValueError, match=r"(frames|image) is \w+ \[\]: use uint8 \["):
            act()
    with pytest.raises(ValueError, match="videos=.* is no list: use a list of videos"):
        video.grid(one)


def test_reduce_takes_the_mean_of_blocks():
    frames = a_video()
    means = frames.reshape(5, 16, 2, 24, 2, 3).mean((2, 4))
    np.testing.assert_allclose(video.reduce(frames, 2), means, atol=0.5)
    assert np.array_equal(video.reduce(video.enlarge(frames, 3), 3), frames)
    with pytest.raises(ValueError, match="factor=33 .* to 32"):
        video.reduce(frames, 33)
    with pytest.raises(ValueError, match="factor=0"):
        video.reduce(frames, 0)


def test_label_adds_a_bar_and_leaves_the_frames():
    frames = a_video()
    labelled = video.label(frames, "dpm++")
    assert labelled.shape == (5, 32 + video.BAR, 48, 3)
    assert np.array_equal(labelled[:, video.BAR :], frames)
    assert labelled[:, : video.BAR].min() < 100 and (labelled[0, : video.BAR] == labelled[4, : video.BAR]).all()
    assert (video.label(frames, "")[:, : video.BAR] == 255).all()


def test_a_long_label_is_cut_with_a_sign():
    wide = a_video(w=200)
    bars = [video.label(wide, text)[0, : video.BAR] for text in ("word " * 50, "word " * 60, "word")]
    assert np.array_equal(bars[0], bars[1]) and not np.array_equal(bars[0], bars[2])
    assert (bars[0][:, -2:] == 255).all()  # nothing runs over the edge


def test_label_refuses_what_is_no_picture():
    with pytest.raises(ValueError, match=r"frames .*float64 \[4, 4\].*h w 3\]"):
        video.label(np.zeros((4, 4)), "x")


def test_facts_are_what_was_written(tmp_path):
    path = video.write_mp4(a_video(f=7), tmp_path / "a.mp4", fps=12)
    assert video.facts(path) == video.Facts("h264", 7, 32, 48, 12)
    assert str(video.facts(path)) == "h264, 32x48, 7 frames, 12 fps, 0.58 s"


def test_facts_of_what_is_no_video_are_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match="a.mp4 gives 0 of 0 frames"):
        video.facts(tmp_path / "a.mp4")


def test_a_file_that_was_cut_short_is_not_whole(tmp_path):
    frames = np.zeros((3, 16, 16, 3), np.uint8)
    for name, write in (("a.mp4", video.write_mp4), ("a.png", lambda x, path, *_: video.write_png(x[0], path))):
        write(frames, tmp_path / name, 8) if name == "a.mp4" else write(frames, tmp_path / name)
        data = (tmp_path / name).read_bytes()
        assert video.is_whole(tmp_path / name)
        for damaged in (data[:-1], data[: len(data) // 2], b"hello", b"", data + b"x"):
            (tmp_path / name).write_bytes(damaged)
            assert not video.is_whole(tmp_path / name)


# --- the encoder


@pytest.fixture
def fresh():
    video.check_encoder.cache_clear()
    yield
    video.check_encoder.cache_clear()


def test_an_ffmpeg_that_is_not_there_or_lacks_h264_is_named(fresh, tmp_path, monkeypatch):
    video.check_encoder()
    for name, script in (("none", None), ("other", "#!/bin/sh\necho ' V..... mpeg4'\n"), ("text", "no program")):
        program = tmp_path / name
        if script:
            program.write_text(script)
            program.chmod(0o700)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
        video.check_encoder.cache_clear()
        with pytest.raises(OSError, match="ffmpeg cannot be started|lacks libx264") as caught:
            video.check_encoder()
        assert "IMAGEIO_FFMPEG_EXE" in str(caught.value)


@pytest.mark.timeout(20)
def test_a_label_of_any_length_is_cut_at_once():
    assert video.label(np.zeros((2000, 4000, 3), np.uint8), "word " * 10_000).shape == (2022, 4000, 3)
    with pytest.raises(ValueError, match="text"):
        video.label(np.zeros((8, 8, 3), np.uint8), None)


def test_what_is_no_mp4_opens_no_other_file(tmp_path):
    video.write_mp4(np.zeros((2, 16, 16, 3), np.uint8), tmp_path / "other.mp4")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile other.mp4\n")
    for n in range(2):
        (tmp_path / f"row_{n}.mp4").write_bytes(video.png_bytes(np.zeros((16, 16, 3), np.uint8)))
    for name in ("list.mp4", "row_0.mp4"):
        with pytest.raises(ValueError, match=name):
            video.read_mp4(tmp_path / name)
