"""Videos as uint8 frames [f h w c]: written as H.264 mp4, GIF and PNG, read back, and laid out side by side.

f frames, h height and w width in pixels, c = 3 channels: red, green, blue. Pictures are only ever enlarged by a whole
number (`scale`, nearest neighbour); a size that H.264 cannot hold is refused.
"""

import io
import math
import subprocess
import tempfile
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from t2v_helpers.core import checking
from t2v_helpers.core.files import existing, named, reason, write_whole

FPS = 8  # frames a second, of everything that the course makes
SLOWEST = 0.01  # frames a second
GAP = 2  # white pixels between pictures laid side by side; even, so that a grid of even frames is even too
BAR = 22  # height in pixels of the bar that carries a label; even for the same reason
LONGEST = 8192  # pixels of a side of what is enlarged: more takes the memory, and no screen shows it
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # the brightness of red, green and blue: ITU-R BT.601
_FFMPEG = "unset IMAGEIO_FFMPEG_EXE, and imageio-ffmpeg's own is taken, or let it name another ffmpeg"
CRF = 18  # x264's constant rate factor, 0 to 51: at 18 the eye sees no difference, at 26 half the bytes


def write_mp4(frames: np.ndarray, path: str | Path, fps: float = FPS, scale: int = 1) -> Path:
    """Write uint8 [f h w 3] as an H.264 (yuv420p) mp4 that browsers play; the same frames give the same bytes.

    fps: frames per second. scale: a whole number; yuv420p keeps one colour for 2x2 pixels, so an even scale keeps all
    colours. The file is written whole or not at all. Errors: ValueError (frames, fps, scale, an odd size, a name that
    does not end in .mp4); OSError (ffmpeg cannot write, disk full).
    """
    checking.suffix("path", path, ".mp4")
    data = mp4_bytes(frames, fps, scale)
    return write_whole(path, lambda temporary: temporary.write_bytes(data))


def mp4_bytes(frames: np.ndarray, fps: float = FPS, scale: int = 1, crf: int = CRF) -> bytes:
    """The bytes that `write_mp4` would write, for a data URI. crf: x264's, 0 (best) to 51. Errors: see `write_mp4`."""
    frames = enlarge(checking.frames(frames), scale)
    checking.number("fps", fps, SLOWEST, 240)
    checking.whole("crf", crf, 0, 51)
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        needed = f"an even height and width: use scale={2 * scale}, or cut a row or column off"
        raise ValueError(f"frames are {height} x {width} pixels at scale={scale}, but H.264 (yuv420p) needs {needed}.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        _encode(frames, path, fps, crf)
        return path.read_bytes()


def read_mp4(path: str | Path) -> np.ndarray:
    """Read a video file with OpenCV: uint8 [f h w 3].

    Errors: FileNotFoundError; ValueError where it is no mp4, OpenCV finds no video, or fewer frames than it announces.
    """
    path = existing(path, "check the name and the folder")
    with open(path, "rb") as file:
        if file.read(8)[4:] != b"ftyp":  # of a list of other files, ffmpeg would open those, OpenCV a row of pictures
            raise _damaged(path, 0, 0)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    announced = round(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    frames = []
    while (read := capture.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    capture.release()
    if not frames or len(frames) < announced:
        raise _damaged(path, len(frames), max(announced, 0))
    return np.stack(frames)  # [f h w c]


def _damaged(path: Path, found: int, announced: int) -> ValueError:
    what = f"{named(path)} gives {found} of {announced} frames"
    return ValueError(f"{what}, so it is damaged or not a video.")


@dataclass(frozen=True)
class Facts:
    """A video file's codec (ffmpeg's name, such as h264), frames, height and width in pixels, and frames per second."""

    codec: str
    frames: int
    height: int
    width: int
    fps: float

    def __str__(self) -> str:
        seconds = self.frames / self.fps
        return f"{self.codec}, {self.height}x{self.width}, {self.frames} frames, {self.fps:g} fps, {seconds:.2f} s"


def facts(path: str | Path) -> Facts:
    """The facts of a video file; the frames are counted, not taken from its header. Errors: see `read_mp4`."""
    frames, height, width, _ = read_mp4(path).shape
    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    reader.close()
    return Facts(about["codec"], frames, height, width, about["fps"])


def is_whole(path: str | Path) -> bool:
    """Whether an mp4 or a PNG is complete to its last byte; pictures are not decoded. FileNotFoundError."""
    path = existing(path, "check the name and the folder")
    data = path.read_bytes()
    if path.suffix == ".png":
        return data.startswith(b"\x89PNG") and data[-8:-4] == b"IEND"
    place = 0
    while 0 <= place < len(data):  # an mp4 is a row of boxes, each of which begins with its length and its name
        size = int.from_bytes(data[place : place + 4], "big")
        place += size if size >= 8 and data[place + 4 : place + 8].isalpha() else len(data) + 1
    return data[4:8] == b"ftyp" and place == len(data)


def write_gif(frames: np.ndarray, path: str | Path, fps: float = FPS, scale: int = 1) -> Path:
    """Write uint8 [f h w 3] as a GIF that loops; one palette of 256 colours for all frames, so that none flickers.

    GIF counts hundredths of a second: at 8 fps frames last 12 and 13 in turn. Errors: ValueError (frames, scale, fps
    above 50, a name that does not end in .gif); OSError.
    """
    checking.suffix("path", path, ".gif")
    frames = enlarge(checking.frames(frames), scale)
    checking.number("fps", fps, SLOWEST, 50)  # browsers slow a faster GIF down to 10 fps
    palette = Image.fromarray(filmstrip(frames)).quantize(256)
    first, *others = (Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    lasts = [10 * (round(100 * (i + 1) / fps) - round(100 * i / fps)) for i in range(len(frames))]  # in ms
    settings = {"save_all": True, "append_images": others, "duration": lasts, "loop": 0}
    return write_whole(path, lambda temporary: first.save(temporary, **settings))


def write_png(image: np.ndarray, path: str | Path, scale: int = 1) -> Path:
    """Write a picture uint8 [h w 3] as PNG. Errors: ValueError (image, scale, a name without .png); OSError."""
    checking.suffix("path", path, ".png")
    data = png_bytes(image, scale)
    return write_whole(path, lambda temporary: temporary.write_bytes(data))


def png_bytes(image: np.ndarray, scale: int = 1, colours: int | None = None) -> bytes:
    """A picture uint8 [h w 3] as the bytes of a PNG. `colours` (2 to 256) makes it about three times smaller.

    Errors: ValueError (image, scale, colours).
    """
    picture = Image.fromarray(enlarge(checking.pixels("image", image, "h w 3"), scale))
    if colours is not None:
        picture = picture.quantize(checking.whole("colours", colours, 2, 256), dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def enlarge(frames: np.ndarray, scale: int) -> np.ndarray:
    """Make each pixel a square of scale x scale pixels: uint8 [... h w 3] -> [... h*scale w*scale 3].

    ValueError: frames, a scale that makes a side longer than LONGEST.
    """
    frames = checking.pixels("frames", frames, "... h w 3")
    checking.whole("scale", scale, 1, max(1, LONGEST // max(frames.shape[-3:-1])))
    return frames.repeat(scale, axis=-3).repeat(scale, axis=-2)


def reduce(frames: np.ndarray, factor: int) -> np.ndarray:
    """Average blocks of factor x factor pixels: uint8 [f h w 3] -> [f h//factor w//factor 3]. ValueError: factor."""
    frames = checking.frames(frames)
    checking.whole("factor", factor, 1, min(frames.shape[1:3]))
    height, width = frames.shape[1] // factor, frames.shape[2] // factor
    whole = frames[:, : height * factor, : width * factor]
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in whole])


def pick(frames: np.ndarray, count: int) -> np.ndarray:
    """At most `count` frames, evenly spaced, the first too: uint8 [f h w 3] -> [min(f, count) h w 3]. ValueError."""
    frames = checking.frames(frames)
    kept = min(checking.whole("count", count), len(frames))
    return frames[np.arange(kept) * len(frames) // kept]


def filmstrip(frames: np.ndarray, columns: int = 8) -> np.ndarray:
    """All frames as one picture, in reading order: uint8 [f h w 3] -> about [rows*h columns*w 3], GAP between them.

    ValueError: frames, columns.
    """
    return _tile(checking.frames(frames)[:, None], columns)[0]


def grid(videos: Sequence[np.ndarray], columns: int | None = None) -> np.ndarray:
    """Videos of one shape side by side, in step: n times uint8 [f h w 3] -> about [f rows*h columns*w 3].

    columns: None makes the grid about square. ValueError: no video, different shapes, columns.
    """
    videos = [checking.frames(video) for video in checking.several("videos", videos, "a list of videos")]
    shapes = {video.shape for video in videos}
    if len(shapes) != 1:
        found = ", ".join(str(list(shape)) for shape in sorted(shapes)) or "none"
        raise ValueError(f"videos have the shapes {found}: use one shape [f h w 3] for all.")
    return _tile(np.stack(videos), math.ceil(math.sqrt(len(videos))) if columns is None else columns)


def label(frames: np.ndarray, text: str) -> np.ndarray:
    """Put a white bar with `text` above each picture: uint8 [... h w 3] -> [... h+22 w 3].

    A long text is set smaller, and cut with "…" if it still does not fit. ValueError: frames, text.
    """
    frames = checking.pixels("frames", frames, "... h w 3")
    checking.kind("text", text, str, "a text")
    bar = np.asarray(_bar(" ".join(text.split()), frames.shape[-2]))  # [bar w c]
    bars = np.broadcast_to(bar, (*frames.shape[:-3], *bar.shape))
    return np.concatenate([bars, frames], axis=-3)


def check_size(frames: int, height: int, width: int, multiple: int, most_frames: int, most_pixels: int) -> None:
    """ValueError unless there are 1 to `most_frames` frames, and height and width are multiples up to `most_pixels`."""
    pixels = multiple, most_pixels
    sizes = ("frames", frames, 1, most_frames), ("height", height, *pixels), ("width", width, *pixels)
    for name, value, step, most in sizes:
        below = checking.whole(name, value, step, most) // step * step
        if value != below:
            raise ValueError(f"{name}={value} is not a multiple of {step} pixels: use {below} or {below + step}.")


def _tile(videos: np.ndarray, columns: int) -> np.ndarray:
    """[n f h w c] -> [f rows*h columns*w c], row by row, white where nothing is."""
    columns = min(checking.whole("columns", columns), len(videos))
    white = (0, -len(videos) % columns), (0, 0), (0, GAP), (0, GAP), (0, 0)
    padded = np.pad(videos, white, constant_values=255)  # [(rows columns) f h+gap w+gap c]
    rows = [np.concatenate(padded[k : k + columns], axis=2) for k in range(0, len(padded), columns)]
    return np.concatenate(rows, axis=1)[:, :-GAP, :-GAP]


def _bar(text: str, width: int) -> Image.Image:
    fonts = [ImageFont.load_default(size) for size in (14, 13, 12, 11)]
    font = next((font for font in fonts if font.getlength(text) <= width - 4), fonts[-1])
    if font.getlength(text) > width - 4:  # cut where it is too long: each letter makes it longer
        end = bisect_right(range(len(text)), width - 4, key=lambda end: font.getlength(text[:end] + "…")) - 1
        text = text[:end] + "…" if end > 0 else ""
    bar = Image.new("RGB", (width, BAR), "white")
    ImageDraw.Draw(bar).text((2, BAR // 2), text, fill="black", font=font, anchor="lm")
    return bar


@cache
def check_encoder() -> None:
    """OSError unless there is an ffmpeg that writes H.264: asked before computing, as videos are written at the end."""
    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
        said = subprocess.run([program, "-hide_banner", "-encoders"], capture_output=True, timeout=60).stdout
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        raise OSError(f"ffmpeg cannot be started ({reason(error)}): {_FFMPEG}.") from error
    if b"libx264" not in said:
        raise OSError(f"{program} cannot write H.264, it lacks libx264: {_FFMPEG}.")


def _encode(frames: np.ndarray, path: Path, fps: float, crf: int) -> None:
    """One thread, the same code path on every CPU and no version or date in the file: equal frames, equal bytes.

    The colours are tagged BT.601, which OpenCV and ffmpeg assume of a small video, and browsers follow the tag.
    """
    check_encoder()
    height, width = frames.shape[1:3]
    tags = "setparams=colorspace=smpte170m:color_primaries=smpte170m:color_trc=smpte170m"
    settings = f"""
        -nostdin -y -loglevel error
        -f rawvideo -pix_fmt rgb24 -video_size {width}x{height} -framerate {fps} -i pipe:0
        -vf scale=out_color_matrix=bt601:out_range=tv:flags=accurate_rnd+full_chroma_int+bitexact,{tags}
        -c:v libx264 -crf {crf} -preset medium -pix_fmt yuv420p -threads 1 -x264-params cpu-independent=1
        -map_metadata -1 -fflags +bitexact -flags:v +bitexact -movflags +faststart -f mp4
    """
    command = [imageio_ffmpeg.get_ffmpeg_exe(), *settings.split(), str(path)]
    done = subprocess.run(command, input=frames.tobytes(), capture_output=True)
    if done.returncode:
        said = "; ".join(done.stderr.decode(errors="replace").split("\n")[-4:-1]) or f"exit status {done.returncode}"
        raise OSError(f"ffmpeg could not write the video ({said}): check that the disk has room and try again.")
