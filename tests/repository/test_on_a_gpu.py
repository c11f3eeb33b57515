"""benchmarks/on_a_gpu.sh and full_size.py: each way is compared with the step as it is, a failing stage is named."""

import argparse
import importlib.util
import json
import re
import shlex
import subprocess

import pytest
import torch
from torch import nn

from t2v_helpers import cli
from t2v_helpers.core.paths import ROOT
from t2v_helpers.model import loading
from t2v_helpers.studies import unet_speed

SCRIPT = ROOT / "benchmarks" / "on_a_gpu.sh"
spec = importlib.util.spec_from_file_location("full_size", ROOT / "benchmarks" / "full_size.py")
full_size = importlib.util.module_from_spec(spec)
spec.loader.exec_module(full_size)
GRAPH, REUSE, COMPILED = list(full_size.WAYS)[-3:]
EXACT = [name for name in full_size.WAYS if name not in (COMPILED, GRAPH, REUSE)]


@pytest.fixture(scope="module")
def step(toy_pipe):
    torch.manual_seed(0)
    return toy_pipe.unet, *unet_speed.step_inputs(toy_pipe.unet, frames=2)


@pytest.mark.parametrize("name", EXACT)
@torch.inference_mode()
def test_an_exact_way_gives_the_step_as_it_is(step, name):
    net, x_t, text = step
    torch.testing.assert_close(full_size.WAYS[name](*step)(), net(x_t, 500, text).sample, rtol=1e-3, atol=1e-4)


@torch.inference_mode()
def test_reusing_features_is_near_the_step_and_not_equal_to_it(step):
    net, x_t, text = step
    wanted, found = net(x_t, 500, text).sample, full_size.WAYS[REUSE](*step)()
    off = (found - wanted).abs().max() / wanted.abs().max()
    assert 0 < off < 0.5


def test_without_a_gpu_what_needs_one_is_said_to_be_missing_and_the_others_go_on(monkeypatch, toy_pipe):
    ways = (GRAPH, COMPILED, "channels_last")
    monkeypatch.setattr(full_size, "WAYS", {name: full_size.WAYS[name] for name in ways})
    monkeypatch.setattr(full_size, "filled", lambda part, device, dtype: toy_pipe.unet)
    asked = argparse.Namespace(size="toy", device=torch.device("cpu"), dtypes=["float32"], frames=2, repeats=1)
    with torch.inference_mode():
        graph, compiled, other = full_size.options(asked)
    assert graph["not here"] == "CUDA graphs need a GPU" and "minutes" in compiled["not here"]
    assert other["ms"] > 0 and other["off"] < 1e-3
    assert "| way | not here | ms | times faster | off |" in full_size.table([graph, other])


@torch.inference_mode()
def test_random_weights_fill_every_parameter_and_give_finite_numbers():
    net = full_size.filled(loading.skeleton("cartoon")["unet"], torch.device("cpu"), torch.float32)
    assert all(not p.is_meta and torch.isfinite(p).all() for p in net.parameters())
    assert {float(p.min()) for name, p in net.named_parameters() if "norm" in name and name.endswith("weight")} == {1.0}
    x_t, text = unet_speed.step_inputs(net, frames=1)
    assert torch.isfinite(net(x_t, 500, text).sample).all()


@torch.inference_mode()
def test_the_flop_of_a_product_of_matrices_are_counted_as_its_rate_counts_them():
    a, b = torch.randn(8, 16), torch.randn(16, 4)
    assert full_size.flop_of(lambda: a @ b) == 2 * 8 * 16 * 4


@torch.inference_mode()
def test_a_layer_is_held_to_the_slower_of_computing_and_moving_and_its_memory_is_added_up():
    layer, x = nn.Linear(64, 32, bias=False, device="meta"), torch.empty(16, 64)
    flop, moved = 2 * 16 * 64 * 32, 4 * (16 * 64 + 64 * 32 + 16 * 32)
    computing = full_size.foretold(layer, (x,), rate=1e6, moved=1e12)
    moving = full_size.foretold(layer, (x,), rate=1e12, moved=moved)  # a second for its bytes
    assert computing["share at the roofline"] == pytest.approx(1)
    assert moving["share at the roofline"] == pytest.approx(flop / 1e12)
    assert moving["traced GiB"] == pytest.approx(moved / 2**30)


def test_a_row_is_kept_as_soon_as_it_is_known(monkeypatch, tmp_path, capsys):
    def stopped(asked):
        yield {"way": "one", "ms": 2.5}
        raise TimeoutError

    monkeypatch.setitem(full_size.STAGES, "options", stopped)
    with pytest.raises(TimeoutError):
        full_size.main(["options", "--out", str(tmp_path / "rows.json")])
    kept = json.loads((tmp_path / "rows.json").read_text())
    assert kept["rows"] == [{"way": "one", "ms": 2.5}] and {"device", "torch", "date", "command"} < set(kept)
    assert "way: one; ms: 2.5" in capsys.readouterr().out


@torch.inference_mode()
def test_the_toy_of_wan_has_its_row_with_what_was_traced_beside_what_was_measured():
    asked = full_size.parser().parse_args("wan --size toy --device cpu --repeats 1 --gemm 64".split())
    (row,) = full_size.wan(asked)
    assert 0 < row["traced GiB"] < row["peak GiB"] and 0 < row["share at the roofline"] <= 1


def test_all_stages_together_take_at_most_ten_minutes():
    text = SCRIPT.read_text(encoding="utf-8")
    limits = dict(re.findall(r"^ *(?:stage|full_size) (\w+) (\d+)", text, re.M))
    assert " ".join(limits) == re.search(r'^stages="(.*)"$', text, re.M)[1] and sum(map(int, limits.values())) <= 600
    assert set(full_size.STAGES) == set(re.findall(r"^full_size (\w+)", text, re.M))


@pytest.fixture
def on_a_gpu(tmp_path):
    """Run the script with `python` a shell script, and other words in the place of the environment's."""

    def run(*stages: str, python: str = 'echo "$@"', **environment: str) -> subprocess.CompletedProcess:
        fake = tmp_path / "python"
        fake.write_text(f"#!/bin/sh\n{python}\n")
        fake.chmod(0o755)
        there = {"PATH": "/usr/bin:/bin", "PY": str(fake), "OUT": str(tmp_path / "out"), "SIZE": "toy"}
        words = ["bash", str(SCRIPT), *stages]
        return subprocess.run(words, capture_output=True, text=True, env=there | environment, timeout=60)

    return run


def test_a_stage_that_fails_is_named_and_the_others_are_tried(on_a_gpu, tmp_path):
    done = on_a_gpu("info", "wan", python='case "$*" in *info*) exit 3;; esac; echo "$@"')
    assert done.returncode == 1 and re.search(r"^Not done: info: status 3", done.stderr, re.M)
    assert "full_size.py wan --size toy" in (tmp_path / "out" / "wan.log").read_text()
    assert not (tmp_path / "out" / "options.log").exists()


def test_a_stage_that_takes_too_long_says_so(on_a_gpu, tmp_path):
    (tmp_path / "timeout").write_text("#!/bin/sh\nexit 124\n")
    (tmp_path / "timeout").chmod(0o755)
    done = on_a_gpu("wan", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 1 and "wan: stopped after 60 s" in done.stderr


def test_at_toy_size_every_stage_is_run_or_says_why_not(on_a_gpu, tmp_path):
    done = on_a_gpu()
    assert done.returncode == 0 and not done.stderr
    assert {path.stem for path in (tmp_path / "out").glob("*.log")} == {"machine", "info", "cartoon", *full_size.STAGES}
    assert "tolerances: left out" in done.stdout and "notebook" in done.stdout


def test_the_cartoon_of_the_toy_is_asked_for_in_words_that_t2v_understands():
    words = re.search(r"-m t2v_helpers.cli (generate .*?) --out", SCRIPT.read_text(encoding="utf-8"))[1]
    asked = cli.parser().parse_args(shlex.split(words))
    assert (asked.command.__name__, asked.steps, asked.frames) == ("generate", 2, 4)


@pytest.mark.parametrize(
    "stages, environment, said",
    [
        ([], {"SIZE": "big"}, "SIZE=big"),
        (["wan", "speed"], {}, "'speed'"),
        ([], {"PY": "/nowhere/python"}, "'/nowhere/python'"),
        ([], {"SIZE": "full", "python": "exit 1"}, "SIZE=toy"),  # torch sees no GPU
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_made(on_a_gpu, tmp_path, stages, environment, said):
    done = on_a_gpu(*stages, **environment)
    assert done.returncode == 2 and said in done.stderr and not (tmp_path / "out").exists()
