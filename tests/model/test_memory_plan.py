"""memory_plan: what is chosen for how much memory, from needs that are written here; a layer in pieces and whole."""

import pytest
import torch

from t2v_helpers.inside import activation_memory, unet
from t2v_helpers.model import loading, memory_plan
from t2v_helpers.model.memory_plan import MemoryOptions, Needs

GIB = 2**30


def trace(frames: int, height: int, width: int) -> Needs:
    """About ModelScope's, in float32: weights of 6.8 GiB, activations that grow with the frames and the pixels."""
    one = frames * height * width / (16 * 256 * 256)
    peaks = {"text_encoder": 0, "unet": int(1.3 * one * GIB), "vae": int(3.0 * one * GIB)}
    weights = {"text_encoder": int(1.3 * GIB), "unet": int(5.25 * GIB), "vae": int(0.3 * GIB)}
    return Needs(weights, peaks, unet_in_pieces=int(0.61 * one * GIB), vae_sliced=int(0.2 * GIB))


def choose(size, frames=16, gpu=True, dtypes=("float16",)):
    return memory_plan.plan(size, frames, 256, 256, trace, dtypes, gpu)


@pytest.mark.parametrize(
    "size, options",
    [
        ("8GiB", MemoryOptions("float16")),
        ("6GiB", MemoryOptions("float16")),
        ("5GiB", MemoryOptions("float16", vae_slicing=True)),
        ("4.4GiB", MemoryOptions("float16", vae_slicing=True, offload=True)),
        ("3.8GiB", MemoryOptions("float16", vae_slicing=True, offload=True, in_pieces=True)),
    ],
)
def test_less_memory_gives_up_more(size, options):
    plan = choose(size)
    assert plan.options == options and plan.needed <= plan.memory
    assert all(needed > plan.memory for other, needed in plan.considered.items() if other != options)


def test_on_the_cpu_nothing_is_offloaded_and_half_precision_comes_last():
    cpu = {"gpu": False, "dtypes": ("float32", "bfloat16")}
    assert choose("12GiB", **cpu).options == MemoryOptions("float32")
    assert choose("9GiB", **cpu).options == MemoryOptions("float32", vae_slicing=True, in_pieces=True)
    assert choose("8GiB", **cpu).options == MemoryOptions("bfloat16")
    assert not any(options.offload for options in memory_plan.all_options(("float32", "bfloat16"), gpu=False))


def test_what_a_way_needs():
    needs, (fixed, share) = trace(16, 256, 256), memory_plan.RESERVE
    weights, unet_alone = sum(needs.weights.values()), needs.weights["unet"] + needs.peaks["unet"]

    def expected(size):
        return pytest.approx(fixed + (1 + share) * size, abs=2)

    assert memory_plan.needed(needs, MemoryOptions("float32")) == expected(weights + needs.peaks["vae"])
    assert memory_plan.needed(needs, MemoryOptions("float32", vae_slicing=True)) == expected(
        weights + needs.peaks["unet"]
    )
    assert memory_plan.needed(needs, MemoryOptions("bfloat16", vae_slicing=True)) == expected(
        (weights + needs.peaks["unet"]) / 2
    )
    assert memory_plan.needed(needs, MemoryOptions("float32", vae_slicing=True, offload=True)) == expected(unet_alone)


def test_too_little_says_the_least_and_how_many_frames_fit():
    with pytest.raises(MemoryError, match=r"memory=4.5 GiB is too little for 64 frames of 256x256") as caught:
        choose("4.5GiB", frames=64)
    said = str(caught.value)
    most = int(said.partition("); ask for ")[2].partition(" frames, which fit.")[0])
    assert 32 < most < 64 and "\n" not in said and choose("4.5GiB", frames=most)
    with pytest.raises(MemoryError, match=f"ask for {most} frames, which fit"):
        choose("4.5GiB", frames=most + 1)
    least = said.partition("the least is ")[2].partition(" (")[0].replace(" ", "")
    assert "in 4 pieces); ask" in said and choose(least, frames=64).options.in_pieces


@pytest.mark.parametrize(
    "size, frames, gpu, said",
    [
        ("6.8GiB", 16, True, "); take the dtype float16, or ask for 12 frames, which fit."),
        ("8.4GiB", 16, False, "); take the dtype bfloat16, or ask for 8 frames, which fit."),
        ("6.34GiB", 200, True, "); ask for 1 frame, which fits."),
        ("4GiB", 16, True, "); take the dtype float16."),
        ("4GiB", 200, True, "); take the dtype float16 and ask for 29 frames, which fit."),
        ("2GiB", 16, True, "); take another device, for not even one frame fits."),
    ],
)
def test_a_dtype_of_full_size_is_told_whether_half_would_do(size, frames, gpu, said):
    with pytest.raises(MemoryError, match=r"\(float32, ") as caught:
        choose(size, frames, gpu, ("float32",))
    assert str(caught.value).endswith(said)


def test_far_too_little():
    with pytest.raises(MemoryError, match="take another device, for not even one frame fits, or wait.$"):
        memory_plan.plan("1GiB", 16, 256, 256, trace, gpu=True, otherwise=", or wait")


@pytest.mark.parametrize("size, bytes_", [("8GiB", 8 * GIB), (" 1.5 GB ", 1.5e9), ("500MiB", 500 * 2**20), (7, 7)])
def test_sizes(size, bytes_):
    assert memory_plan.parse_bytes(size) == bytes_


@pytest.mark.parametrize(
    "size", ["8", "8gb", "", "0GiB", "-1GiB", "GiB", "nanGiB", f"{'9' * 400}GiB", 0, -1, 1.5, True, None]
)
def test_no_sizes(size):
    with pytest.raises(ValueError, match="memory=.* is not a size: .*GiB, MiB, GB, MB"):
        memory_plan.parse_bytes(size)


def test_the_plan_shows_what_was_weighed():
    lines = str(choose("5GiB")).splitlines()
    assert lines[0] == "16 frames of 256x256 in 5.0 GiB of memory:"
    assert lines[1].strip().endswith("GiB  float16") and len(lines) == 3
    assert lines[2].strip().endswith("float16, VAE slicing  <- the first that fits, and taken")


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 3, 4])
def test_pieces_change_no_result(toy_folder, toy_pipe, frames):
    """For any number of frames, in diffusers' UNet and in the course's."""
    own = unet.from_diffusers(toy_pipe.unet)
    theirs = loading.load(toy_folder, device="cpu", dtype="float32").unet
    x_t, text = torch.randn(1, 8, frames, 8, 8), torch.randn(1, 5, 32)
    for net in (own, theirs):
        whole = net(x_t, 500, text).sample
        memory_plan.run_in_pieces(net, 3)
        calls = []
        layer = next(part for name, part in net.named_modules() if name.endswith(".ff"))
        layer.net[0].register_forward_hook(lambda *_, calls=calls: calls.append(1))
        torch.testing.assert_close(net(x_t, 500, text).sample, whole, rtol=1e-4, atol=1e-5)
        assert len(calls) > 1


def test_pieces_take_less(toy_folder):
    net = loading.skeleton(toy_folder)["unet"]
    with torch.device("meta"):
        x_t, text = torch.zeros(2, 8, 4, 8, 8), torch.zeros(2, 5, 32)
    whole = activation_memory.peak(net, x_t, 500, text)
    memory_plan.run_in_pieces(net)
    assert activation_memory.peak(net, x_t, 500, text) < whole
