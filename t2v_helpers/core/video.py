"""Videos as uint8 frames [f h w c]: written as H.264 mp4, GIF and PNG, read back, and laid out side by side.

f frames, h height and w width in pixels, c = 3 channels: red, green, blue. Nothing is resized behind the caller's back:
pictures are enlarged by a whole number (`scale`, nearest neighbour), and a size that H.264 cannot hold is refused.
"""

import io
import math
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from t2v_helpers.core.files import write_whole

GAP = 2  # white pixels between pictures laid side by side; even, so that a grid of even frames stays even
BAR = 22  # height in pixels of the bar that carries a label; even for the same reason
LUMA = (0.299, 0.587, 0.114)  # the grey of red, green and blue: ITU-R BT.601
CRF = 18  # x264's constant rate factor, 0 to 51: at 18 no different from the frames by eye, at 26 half the bytes


def write_mp4(frames: np.ndarray, path: str | Path, fps: float = 8, scale: int = 1, crf: int = CRF) -> Path:
    """Write uint8 [f h w 3] as an H.264 (yuv420p) mp4 that browsers play; the same frames give the same bytes.

    fps is in frames per second; scale enlarges by a whole number; crf is x264's quality, less is better. yuv420p keeps
    one colour for 2x2 pixels, so an even scale also keeps every colour. Errors: ValueError (frames, fps, scale, crf, an
    odd size, a name that does not end in .mp4); OSError (ffmpeg cannot write, disk full). Nothing half-written stays.
    """
    _check_suffix(path, ".mp4")
    frames = _check_mp4(frames, fps, scale, crf)
    return write_whole(path, lambda temporary: _encode(frames, temporary, fps, crf))


def mp4_bytes(frames: np.ndarray, fps: float = 8, scale: int = 1, crf: int = CRF) -> bytes:
    """The bytes that `write_mp4` would write, to be put into a page. Errors: see there."""
    frames = _check_mp4(frames, fps, scale, crf)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        _encode(frames, path, fps, crf)
        return path.read_bytes()


def read_mp4(path: str | Path) -> np.ndarray:
    """Read a video file with OpenCV: uint8 [f h w 3].

    Errors: FileNotFoundError; ValueError where OpenCV finds no video, or fewer frames than the file announces.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name and the folder.")
    capture = cv2.VideoCapture(str(path))
    announced = round(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    frames = []
    while (read := capture.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    capture.release()
    if not frames or len(frames) < announced:
        raise ValueError(f"{path} gives {len(frames)} of {max(announced, 0)} frames, so it is damaged or no video.")
    return np.stack(frames)  # [f h w c]


@dataclass(frozen=True)
class Facts:
    """What a video file says of itself: codec (ffmpeg's name, such as h264), frames, pixels, frames a second."""

    codec: str
    frames: int
    height: int
    width: int
    fps: float

    def __str__(self) -> str:
        seconds = self.frames / self.fps
        return f"{self.codec}, {self.height}x{self.width}, {self.frames} frames, {self.fps:g} fps, {seconds:.2f} s"


def facts(path: str | Path) -> Facts:
    """The facts of a video file; its frames are counted, not believed. Errors: those of `read_mp4`."""
    frames, height, width, _ = read_mp4(path).shape
    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    reader.close()
    return Facts(about["codec"], frames, height, width, about["fps"])


@dataclass(frozen=True)
class Band:
    """Rows `top` to `bottom` of a picture, and how many times more they agree with others than the usual rows do."""

    top: int
    bottom: int
    strength: float


def still_edges(frames: np.ndarray) -> np.ndarray:
    """Where a clip has upright edges that do not move: uint8 [f h w 3] -> [h w-1], about -1 to 1.

    It is the median over time of the change from pixel to pixel, over the usual size of that change.
    ValueError: frames.
    """
    grey = check_frames(frames).astype(np.float32) @ np.array(LUMA, np.float32)  # [f h w]
    change = np.diff(grey, axis=2)  # [f h w-1]
    return np.median(change, axis=0) / (np.abs(change).mean(axis=0) + 1)


def shared_band(frames: np.ndarray, others: Sequence[np.ndarray]) -> Band:
    """The band of rows, an eighth of the height, whose still edges are most like those of other clips.

    Scenes differ; a watermark stands in the same place in all. The likeness is the correlation with the median of the
    others, without its sign (a mark may be lighter or darker than what is behind). strength is the band's over the
    median of all bands. Errors: ValueError (frames, no others, other sizes, fewer than 16 rows).
    """
    mine, theirs = still_edges(frames), [still_edges(other) for other in others]
    if not theirs or any(other.shape != mine.shape for other in theirs) or len(mine) < 16:
        raise ValueError(
            f"others hold {len(theirs)} clips; at least one is needed, all of the size of frames, "
            f"{frames.shape[1]} x {frames.shape[2]}, and that of 16 rows or more."
        )
    common, height = np.median(theirs, axis=0), len(mine) // 8  # [h w-1]
    tops = range(0, len(mine) - height + 1, max(1, height // 4))
    alike = [abs(_correlation(mine[top : top + height], common[top : top + height])) for top in tops]
    best = int(np.argmax(alike))
    return Band(tops[best], tops[best] + height, alike[best] / max(float(np.median(alike)), 1e-6))


def write_gif(frames: np.ndarray, path: str | Path, fps: float = 8, scale: int = 1) -> Path:
    """Write uint8 [f h w 3] as a GIF that loops for ever; all frames share one palette of 256 colours, so none flicker.

    GIF counts in hundredths of a second: at 8 fps the frames last 12 and 13 in turn. Errors: ValueError (frames,
    scale, fps above 50, a name that does not end in .gif); OSError.
    """
    _check_suffix(path, ".gif")
    frames = check_frames(frames)
    _check_fps(fps, most=50)  # browsers slow a faster GIF down to 10 fps
    pictures = _one_palette(enlarge(frames, scale))
    ticks = [round(100 * i / fps) for i in range(len(frames) + 1)]
    lasts = [10 * (after - before) for before, after in zip(ticks, ticks[1:], strict=False)]  # in ms

    def write(temporary):
        pictures[0].save(temporary, save_all=True, append_images=pictures[1:], duration=lasts, loop=0)

    return write_whole(path, write)


def write_png(image: np.ndarray, path: str | Path, scale: int = 1) -> Path:
    """Write a picture uint8 [h w 3] as PNG. Errors: ValueError (image, scale, a name not in .png); OSError."""
    _check_suffix(path, ".png")
    data = png_bytes(image, scale)
    return write_whole(path, lambda temporary: temporary.write_bytes(data))


def png_bytes(image: np.ndarray, scale: int = 1, colours: int | None = None) -> bytes:
    """A picture uint8 [h w 3] as the bytes of a PNG. `colours` (2 to 256) makes it about three times smaller.

    Errors: ValueError (image, scale, colours).
    """
    if colours is not None and not 2 <= colours <= 256:
        raise ValueError(f"colours={colours}, but a palette holds 2 to 256 colours; None keeps all.")
    picture = Image.fromarray(enlarge(_check_image(image), scale))
    if colours is not None:
        picture = picture.quantize(colours, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def enlarge(frames: np.ndarray, scale: int) -> np.ndarray:
    """Make each pixel a square of scale x scale pixels: [... h w c] -> [... h*scale w*scale c]. ValueError: scale."""
    _check_whole("scale", scale)
    return frames.repeat(scale, axis=-3).repeat(scale, axis=-2)


def reduce(frames: np.ndarray, factor: int) -> np.ndarray:
    """Make each factor x factor pixels one, their mean: uint8 [f h w 3] -> [f h//factor w//factor 3]. ValueError."""
    frames = check_frames(frames)
    _check_whole("factor", factor)
    height, width = frames.shape[1] // factor, frames.shape[2] // factor
    if not height or not width:
        raise ValueError(f"factor={factor}, but the frames have only {frames.shape[1]} x {frames.shape[2]} pixels.")
    whole = frames[:, : height * factor, : width * factor]
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in whole])


def pick(frames: np.ndarray, count: int) -> np.ndarray:
    """At most `count` frames, evenly spaced, the first among them: [f h w c] -> [min(f, count) h w c]. ValueError."""
    _check_whole("count", count)
    frames = np.asarray(frames)
    chosen = np.arange(min(count, len(frames))) * len(frames) // min(count, len(frames))
    return frames[chosen]


def filmstrip(frames: np.ndarray, columns: int = 8) -> np.ndarray:
    """All frames as one picture, read like text: uint8 [f h w 3] -> [rows*h columns*w 3] and 2 white pixels between.

    Errors: ValueError (frames, columns).
    """
    return _tile(check_frames(frames)[:, None], columns)[0]


def grid(videos: Sequence[np.ndarray], columns: int | None = None) -> np.ndarray:
    """Videos of one size side by side, in step: n times uint8 [f h w 3] -> [f rows*h columns*w 3].

    columns: None makes the grid about square. Errors: ValueError (no video, different shapes, columns).
    """
    videos = [check_frames(video) for video in videos]
    shapes = {video.shape for video in videos}
    if len(shapes) != 1:
        found = ", ".join(str(list(shape)) for shape in sorted(shapes)) or "none"
        raise ValueError(f"videos have the shapes {found}, but one shape [f h w 3] is needed for all.")
    return _tile(np.stack(videos), math.ceil(math.sqrt(len(videos))) if columns is None else columns)


def label(frames: np.ndarray, text: str) -> np.ndarray:
    """Put a white bar with `text` above each picture: uint8 [... h w 3] -> [... h+22 w 3].

    A long text is set smaller, and one that is still too long ends in "…".
    Errors: ValueError where `frames` is not uint8 [... h w 3].
    """
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim < 3 or frames.shape[-1] != 3:
        raise ValueError(f"frames are {_describe(frames)}, but uint8 [... h w 3] is needed.")
    bar = np.asarray(_bar(" ".join(text.split()), frames.shape[-2]))  # [bar w c]
    bars = np.broadcast_to(bar, (*frames.shape[:-3], *bar.shape))
    return np.concatenate([bars, frames], axis=-3)


# --- how the pictures are made


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two arrays of one shape; 0 where one of them is flat."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size else 0.0


def _tile(videos: np.ndarray, columns: int) -> np.ndarray:
    """[n f h w c] -> [f rows*h columns*w c], row by row, white where there is nothing."""
    _check_whole("columns", columns)
    n, f, h, w, c = videos.shape
    columns = min(columns, n)
    rows = math.ceil(n / columns)
    canvas = np.full((f, rows * (h + GAP) - GAP, columns * (w + GAP) - GAP, c), 255, np.uint8)
    for k, video in enumerate(videos):
        top, left = k // columns * (h + GAP), k % columns * (w + GAP)
        canvas[:, top : top + h, left : left + w] = video
    return canvas


def _bar(text: str, width: int) -> Image.Image:
    fonts = [ImageFont.load_default(size) for size in (14, 13, 12, 11)]
    font = next((font for font in fonts if font.getlength(text) <= width - 4), fonts[-1])
    shown = text
    while shown and font.getlength(shown) > width - 4:
        text = text[:-1]
        shown = text and text + "…"
    bar = Image.new("RGB", (width, BAR), "white")
    ImageDraw.Draw(bar).text((2, BAR // 2), shown, fill="black", font=font, anchor="lm")
    return bar


def _one_palette(frames: np.ndarray) -> list[Image.Image]:
    palette = Image.fromarray(filmstrip(frames)).quantize(256)
    return [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]


def _encode(frames: np.ndarray, path: Path, fps: float, crf: int) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), *_ffmpeg_arguments(*frames.shape[1:3], fps, crf), str(path)]
    done = subprocess.run(command, input=frames.tobytes(), capture_output=True)
    if done.returncode:
        said = "; ".join(done.stderr.decode(errors="replace").split("\n")[-4:-1]) or f"exit status {done.returncode}"
        raise OSError(f"ffmpeg could not write the video ({said}): check that the disk has room and try again.")


def _ffmpeg_arguments(height: int, width: int, fps: float, crf: int) -> list[str]:
    """One thread, the same code path on every CPU and no version or date in the file: equal frames, equal bytes.

    The colours are BT.601 and say so: that is what OpenCV and ffmpeg take a small video for, and browsers believe it.
    """
    tags = "setparams=colorspace=smpte170m:color_primaries=smpte170m:color_trc=smpte170m"
    return f"""
        -nostdin -y -loglevel error
        -f rawvideo -pix_fmt rgb24 -video_size {width}x{height} -framerate {fps} -i pipe:0
        -vf scale=out_color_matrix=bt601:out_range=tv:flags=accurate_rnd+full_chroma_int+bitexact,{tags}
        -c:v libx264 -crf {crf} -preset medium -pix_fmt yuv420p -threads 1 -x264-params cpu-independent=1
        -map_metadata -1 -fflags +bitexact -flags:v +bitexact -movflags +faststart -f mp4
    """.split()


# --- what is refused


def _check_mp4(frames: np.ndarray, fps: float, scale: int, crf: int) -> np.ndarray:
    """The frames, enlarged, once everything is known to be as it should."""
    frames = check_frames(frames)
    _check_fps(fps, most=240)
    _check_whole("scale", scale)
    if crf not in range(52):
        raise ValueError(f"crf={crf!r}, but x264's quality is a whole number from 0 (best) to 51.")
    height, width = (scale * size for size in frames.shape[1:3])
    if height % 2 or width % 2:
        raise ValueError(
            f"frames are {height} x {width} pixels at scale={scale}, but H.264 (yuv420p) needs an even height and "
            f"width: use scale={2 * scale}, or cut a row or column off."
        )
    return enlarge(frames, scale)


def is_whole(path: str | Path) -> bool:
    """Whether an mp4 or a PNG is there to its last byte; its pictures are not looked at. FileNotFoundError."""
    data = Path(path).read_bytes()
    if Path(path).suffix == ".png":
        return data.startswith(b"\x89PNG") and data[-8:-4] == b"IEND"
    place = 0
    while 0 <= place < len(data):  # an mp4 is a row of boxes, each of which begins with its length and its name
        size = int.from_bytes(data[place : place + 4], "big")
        place += size if size >= 8 and data[place + 4 : place + 8].isalpha() else len(data) + 1
    return data[4:8] == b"ftyp" and place == len(data)


def check_frames(frames: np.ndarray) -> np.ndarray:
    """Give `frames` back as an array if it is uint8 [f h w 3] with something in it. ValueError: it is not."""
    try:
        frames = np.asarray(frames)
    except (RuntimeError, TypeError, ValueError) as error:  # unlike sizes; a tensor with a gradient, or on a GPU
        why = "a list of unlike sizes" if isinstance(frames, list | tuple) else str(error).split("\n")[0].rstrip(".")
        raise ValueError(
            f"frames are no array ({why}), but uint8 [f h w 3] is needed: give frames of one size, on the CPU."
        ) from error
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
        raise ValueError(
            f"frames are {_describe(frames)}, but uint8 [f h w 3] with at least one frame is needed: "
            "layout.to_uint8 makes it from a model's output."
        )
    return frames


def _check_image(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or not image.size:
        raise ValueError(f"image is {_describe(image)}, but uint8 [h w 3] is needed.")
    return image


def _describe(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _check_fps(fps: float, most: int) -> None:
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps <= most:  # NaN fails too
        raise ValueError(f"fps={fps!r}, but a number above 0 and at most {most} frames per second is needed.")


def _check_whole(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name}={value!r}, but a whole number from 1 is needed.")


def _check_suffix(path: str | Path, suffix: str) -> None:
    if Path(path).suffix.lower() != suffix:
        raise ValueError(f"{path} does not end in {suffix}: give the file a name that does.")
