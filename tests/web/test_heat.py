"""heat.js and gif.js: attention laid over a video as in Python, and a GIF that others can read."""

import io

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from t2v_helpers.inside import attention_maps

FRAMES, SIZE = 3, 24


def video(seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (FRAMES, 3, 3, 3), dtype=np.uint8)
    return small.repeat(8, axis=1).repeat(8, axis=2)


def test_light_falls_where_python_lets_it_fall(js):
    heat = torch.rand(FRAMES, 3, 3, generator=torch.Generator().manual_seed(0))
    data = {
        "heat": heat.flatten().tolist(),
        "pixels": video().flatten().tolist(),
        "shape": [FRAMES, 3, 3],
        "size": SIZE,
    }
    large = js("heat.js", "[...m.enlarged(data.heat, data.shape, data.size)]", data)
    expected = F.interpolate(heat[None], (SIZE, SIZE), mode="bilinear")[0]
    torch.testing.assert_close(torch.tensor(large).reshape(FRAMES, SIZE, SIZE), expected)
    found = js("heat.js", "[...m.lit(data.pixels, m.enlarged(data.heat, data.shape, data.size))]", data)
    expected = attention_maps.overlaid(video(), heat).astype(int)
    assert abs(np.reshape(found, expected.shape) - expected).max() <= 1


def test_heat_is_the_mean_over_calls_and_tokens(js):
    maps = torch.rand(2, FRAMES, 2, 2, 5, generator=torch.Generator().manual_seed(0))
    found = js("heat.js", "[...m.heatOf(data, [1, 3], 5)]", [one.flatten().tolist() for one in maps])
    torch.testing.assert_close(torch.tensor(found), maps[..., [1, 3]].mean(dim=(0, -1)).flatten())


def test_a_gif_has_every_frame_in_nearly_its_colours(js):
    noise = np.random.default_rng(1).integers(0, 256, (FRAMES, 80, 100, 3), dtype=np.uint8)  # more than 4,096 codes
    for frames, limit in ((video(), 8), (noise, 60)):
        height, width = frames.shape[1:3]
        data = {"frames": [frame.flatten().tolist() for frame in frames], "size": [width, height]}
        made = js(
            "gif.js", "m.gif(data.frames.map((f) => Uint8Array.from(f)), ...data.size, 8).flatMap((p) => [...p])", data
        )
        read = Image.open(io.BytesIO(bytes(made)))
        assert (read.n_frames, read.size, read.info["loop"]) == (FRAMES, (width, height), 0)
        for i, frame in enumerate(frames):
            read.seek(i)
            assert read.info["duration"] in (120, 130)
            assert abs(np.asarray(read.convert("RGB")).astype(int) - frame).mean() < limit
