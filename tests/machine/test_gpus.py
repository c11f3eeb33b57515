"""Ideal times: FLOPs over published peaks, each with its source."""

import pytest

from t2v_helpers.machine import gpus

STEP = 12.222e12  # FLOPs of a guided step of the real UNet, 20 frames of 256x256 (test_tracing counts them)


def test_every_number_has_a_source_and_a_known_precision():
    table = gpus.load()
    for name, entry in table["gpus"].items():
        assert entry["source"].startswith("https://") and entry["read"].startswith("https://"), name
        assert set(entry["teraflops"]) <= set(table["precisions"]) and all(v > 0 for v in entry["teraflops"].values())
        assert entry["teraflops"]["fp16"] >= max(entry["teraflops"].values())


def test_ideal_seconds_are_flops_over_the_peak():
    assert gpus.peak("MI300X", "fp16") == 1307.4e12
    assert gpus.ideal_seconds(1307.4e12, "MI300X") == 1
    assert gpus.ideal_seconds(STEP, "MI250 (one die)", "fp32 matrix") == pytest.approx(0.270, abs=5e-4)
    assert gpus.ideal(STEP)["MI300X"]["fp32 vector"] == pytest.approx(0.0748, abs=5e-5)


def test_the_blogs_rate_is_under_half_of_the_peak_that_it_can_be():
    low, high = gpus.load()["blog"]["steps_per_second"]
    shares = [rate * gpus.ideal_seconds(STEP, "MI250 (one die)", "fp32 matrix") for rate in (low, high)]
    assert shares == pytest.approx([0.43, 0.45], abs=0.006)


def test_the_table_has_a_line_for_each_gpu_and_leaves_out_what_is_not_published():
    lines = gpus.table(STEP).splitlines()
    assert len(lines) == 1 + len(gpus.load()["gpus"])
    line = next(line for line in lines if line.startswith("MI250 (one die)"))
    assert line.split()[-4:] == ["540", "270", "-", "67.5"]


@pytest.mark.parametrize(
    "gpu, precision, said",
    [
        ("MI300", "fp16", "gpu='MI300' .*'MI300X'.* MI210, "),
        ("MI210", "tf32", "precision='tf32' .*MI210.* fp32 vector"),
    ],
)
def test_peaks_that_are_not_published(gpu, precision, said):
    with pytest.raises(ValueError, match=said):
        gpus.ideal_seconds(1.0, gpu, precision)


@pytest.mark.parametrize("flops", [0, -1.0, float("nan")])
def test_flops_must_be_positive(flops):
    with pytest.raises(ValueError, match=f"flops={flops} is not allowed"):
        gpus.ideal_seconds(flops, "MI210")
