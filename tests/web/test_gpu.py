"""The page with WebGPU: its numbers are those of WebAssembly, and where there is no GPU, or it stops, all goes on.

The GPU here is one that Chromium imitates (SwiftShader), so this says nothing of its speed.
"""

import base64

import numpy as np
import pytest

pytestmark = pytest.mark.timeout(900)
NONE = "there is none that this page may use"


@pytest.fixture(scope="module")
def seen(small_page, in_chromium) -> dict:
    return in_chromium("gpu.js", small_page)


@pytest.fixture(scope="module")
def used(seen) -> dict:
    if seen["said"]["always"] == NONE:
        pytest.skip("this Chromium imitates no GPU: install one with SwiftShader, such as Debian's")
    return seen


def frames(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8).astype(int)


def test_a_trusted_gpu_takes_over_and_makes_the_same_video(used):
    assert used["said"]["always"] == "used" and used["status"].endswith("on this device's GPU.")
    plain, gpu = frames(used["wasm"]), frames(used["gpu"])
    assert plain.std() > 0 and abs(plain - gpu).max() <= 2 and used["errors"] == []


def test_where_the_gpu_stops_webassembly_makes_the_same_video(used):
    assert used["said"]["lost"] == "The device is lost." and used["statusAfter"].endswith("on this device.")
    assert used["after"] == used["wasm"]


def test_what_imitates_a_gpu_is_used_only_where_it_is_wished_for(seen):
    assert {name: seen["said"][name] for name in ("imitated", "unwished", "noJspi")} == dict.fromkeys(
        ("imitated", "unwished", "noJspi"), NONE
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [({}, ""), ({"latents": [0, 0.002]}, "latents differ by 0.002"), ({"pixels": [9, 3]}, "pixels differ by 3"),
     ({"latents": [0, "NaN"]}, "latents differ by NaN"), ({"pixels": [9, 2]}, "")],
)  # fmt: skip
def test_numbers_agree_or_it_is_said_by_how_much_not(js, change, said):
    one = {"latents": [0, 0], "pixels": [9, 0]}
    assert js("gpu.js", "m.unlike(...data)", [one, one | change]) == said


def test_the_address_says_what_is_wished_of_the_gpu(js):
    asked = ["", "?gpu=always", "?gpu=never", "?gpu=perhaps", "?x&gpu=never"]
    assert js("gpu.js", "data.map(m.wish)", asked) == ["auto", "always", "never", "auto", "never"]
