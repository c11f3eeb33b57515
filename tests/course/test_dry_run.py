"""dry_run: random weights in the hub's layout, loaded and run in Pythons of their own; all of it at toy size."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import try_to_load_from_cache
from transformers import CLIPTokenizer

from t2v_helpers import cartoon
from t2v_helpers.cartoon.tokenizer import vocabulary_of_size
from t2v_helpers.course import dry_run
from t2v_helpers.course.dry_run import folder, report, stages
from t2v_helpers.machine import probe
from t2v_helpers.model import folder_checks, hub, loading

GIB = 2**30
HUB_TEXTS = ("model_index", "scheduler", "special_tokens_map", "tokenizer_config")


@pytest.fixture(scope="session")
def shapes(tmp_path_factory, hub_folder) -> Path:
    """A folder like t2v_helpers/modelscope, with the configs of the toy."""
    made = tmp_path_factory.mktemp("shapes")
    for part in folder_checks.PARTS:
        shutil.copy(hub_folder / part / "config.json", made / f"{part}.json")
    for name in HUB_TEXTS:
        shutil.copy(hub.MODELSCOPE_SHAPES / f"{name}.json", made)
    return made


@pytest.fixture(scope="session")
def whole(tmp_path_factory, shapes) -> folder.Cache:
    """Random weights of the toy, in both variants."""
    made = folder.Cache(tmp_path_factory.mktemp("whole") / "dry_run", shapes)
    folder.prepare(made, [None, "fp16"])
    return made


@pytest.fixture
def cache(tmp_path, shapes) -> folder.Cache:
    """Where nothing was written yet."""
    return folder.Cache(tmp_path / "dry_run", shapes)


# --- the folder


def test_the_files_are_those_of_the_hub_and_no_other(whole):
    found = {path.relative_to(whole.snapshot).as_posix() for path in whole.snapshot.rglob("*") if path.is_file()}
    assert found == {*hub.CONFIGS, *hub.WEIGHTS[None], *hub.WEIGHTS["fp16"]}


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_the_real_shapes_lead_to_the_published_sizes(tmp_path, variant):
    cache = folder.Cache(tmp_path / "dry_run")
    folder.write_texts(cache)
    sizes = {file.path.relative_to(cache.snapshot).as_posix(): file.size for file in folder.plan(cache, variant)}
    assert sizes == {name: entry["bytes"] for name, entry in hub.WEIGHTS[variant].items()}
    assert cache.model == "modelscope"


def test_the_hubs_library_finds_its_files_there(whole):
    for name in hub.CONFIGS:
        found = try_to_load_from_cache(hub.MODELSCOPE, name, cache_dir=whole.hub_cache, revision=hub.REVISION)
        assert found == str(whole.snapshot / name)


def test_both_variants_hold_the_same_numbers(whole):
    full, half = (loading.load(whole.model, "cpu", dtype) for dtype in ("float32", "float16"))
    for part in folder_checks.PARTS:
        pairs = zip(getattr(full, part).parameters(), getattr(half, part).parameters(), strict=True)
        assert all(torch.equal(a, b.float()) for a, b in pairs)


def test_what_goes_through_a_layer_keeps_its_size():
    drawn = folder.numbers("unet.conv.weight", torch.empty(64, 320, 3, 3, device="meta"), 0)
    assert drawn.std().item() == pytest.approx((320 * 9) ** -0.5, rel=0.01) and abs(drawn.mean().item()) < 1e-4
    assert torch.equal(folder.numbers("norm.weight", torch.empty(4, device="meta"), 0), torch.ones(4))
    assert torch.equal(folder.numbers("norm.bias", torch.empty(4, device="meta"), 0), torch.zeros(4))


def test_the_seed_and_the_name_decide_the_numbers():
    like = torch.empty(8, 8, device="meta")
    first = folder.numbers("a", like, 0)
    assert torch.equal(first, folder.numbers("a", like, 0))
    assert not torch.equal(first, folder.numbers("b", like, 0))
    assert not torch.equal(first, folder.numbers("a", like, 1))


def test_what_is_whole_is_kept_and_what_is_not_is_written_again(cache):
    first, second, third = folder.prepare(cache, ["fp16"])
    kept, right = first.path.stat().st_mtime_ns, second.path.read_bytes()
    second.path.write_bytes(right[:1000])
    third.path.with_name(".0123.safetensors").write_bytes(b"left by a run that was killed")
    told = []
    folder.prepare(cache, ["fp16"], progress=lambda n, total: told.append((n, total)))
    assert first.path.stat().st_mtime_ns == kept and second.path.read_bytes() == right
    assert sum(n for n, _ in told) == second.size and {total for _, total in told} == {second.size}
    assert not list(cache.root.rglob(".*"))


def test_a_stopped_run_leaves_no_half_file_and_goes_on(cache):
    first, second, third = (cache.snapshot / name for name in hub.WEIGHTS["fp16"])

    def stop(n: int, total: int) -> None:
        if first.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.prepare(cache, ["fp16"], progress=stop)
    assert (first.exists(), second.exists(), third.exists()) == (True, False, False)
    assert not list(cache.root.rglob(".*"))
    assert not any(file.missing for file in folder.prepare(cache, ["fp16"]))


def test_the_folder_says_what_it_holds(whole):
    assert "Random weights" in (whole.root / "README.txt").read_text()


def test_a_folder_with_other_things_is_left_alone(cache):
    cache.root.mkdir()
    (cache.root / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="dry_run holds files, but no weights of a dry run: name a new folder"):
        folder.prepare(cache, ["fp16"])
    assert [path.name for path in cache.root.iterdir()] == ["thesis.txt"]


def test_weights_of_another_seed_are_left_alone(whole):
    with pytest.raises(ValueError, match="another shape or seed: delete it"):
        folder.prepare(replace(whole, seed=1), ["fp16"])


def test_too_little_disk_is_said_before_writing(cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=200_000))
    with pytest.raises(OSError, match=r"need 0\.00 GB of disk, but .*dry_run has 0\.00 GB free: delete something"):
        folder.prepare(cache, ["fp16"])
    assert not list(cache.root.rglob("*.safetensors"))


def test_a_diffusers_that_builds_another_network_is_told(cache, shapes, tmp_path):
    other = tmp_path / "shapes"
    shutil.copytree(shapes, other)
    sizes = {"": {}, "fp16": {"unet/diffusion_pytorch_model.fp16.safetensors": {"bytes": 17}}}
    (other / "weights.json").write_text(json.dumps(sizes))
    with pytest.raises(
        ValueError, match="unet/.* has 17 bytes as published, but with this diffusers .* constraints.txt"
    ):
        folder.prepare(replace(cache, shapes=other), ["fp16"])


# --- the tokenizer


def test_a_tokenizer_of_clips_size_is_built(tmp_path):
    for name, text in folder.built_tokenizer(49408, hub.MODELSCOPE_SHAPES).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == 49408 and tokenizer.model_max_length == 77
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 49406, 49407)  # as CLIP's
    assert {len(tokenizer(word).input_ids) for word in cartoon.vocabulary()} == {3}


@pytest.mark.parametrize("size", [513, 66051])
def test_a_vocabulary_out_of_range_is_refused(size):
    with pytest.raises(ValueError, match=f"size={size} is not allowed: use 514 to 66050 tokens"):
        vocabulary_of_size(size)


@pytest.mark.parametrize("size", [514, 600, 66050])
def test_a_vocabulary_has_its_size(size):
    vocabulary, merges = vocabulary_of_size(size)
    assert len(vocabulary) == size and sorted(vocabulary.values()) == list(range(size))
    assert all(merge.replace(" ", "") in vocabulary for merge in merges)


def test_a_tokenizer_of_ones_own_is_taken(cache, hub_folder):
    """In the older form of four files, and in the one that today's transformers saves."""
    own = CLIPTokenizer.from_pretrained(hub_folder / "tokenizer")
    own.save_pretrained(cache.root.parent / "saved")
    assert not (cache.root.parent / "saved" / "merges.txt").exists()
    for place in (hub_folder / "tokenizer", cache.root.parent / "saved"):
        folder.write_texts(cache, place)
        taken = CLIPTokenizer.from_pretrained(cache.snapshot / "tokenizer")
        assert taken.get_vocab() == own.get_vocab()
        assert all(taken(word).input_ids == own(word).input_ids for word in (*cartoon.vocabulary(), "zebra"))
    folder.prepare(cache, ["fp16"], cache.root.parent / "saved")
    assert len(loading.load(cache.model, "cpu", "float16").tokenizer) == len(own)


def test_a_tokenizer_that_does_not_fit_is_refused(cache, tmp_path, hub_folder):
    neither = r"is no CLIP tokenizer, neither tokenizer\.json nor vocab\.json with merges\.txt is in it: name its"
    with pytest.raises(FileNotFoundError, match=neither):
        folder.prepare(cache, ["fp16"], tmp_path)
    for name, text in folder.built_tokenizer(600, hub.MODELSCOPE_SHAPES).items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=r"has 600 tokens, but the text encoder knows \d+, numbered from 0"):
        folder.prepare(cache, ["fp16"], tmp_path)
    assert not cache.root.exists()


@pytest.mark.parametrize("name, damage, said", [
    ("merges.txt", lambda text: "".join(text.splitlines(True)[:20]), "so it is cut short: copy or download"),
    ("merges.txt", lambda text: text + "zz qq\n", "joins no two tokens to a third: copy or download"),
    ("vocab.json", lambda text: text[:100], "vocab.json cannot be read .*: copy or download"),
    ("vocab.json", lambda text: "[]", "holds no vocabulary, tokens with their numbers: copy or download"),
    ("tokenizer.json", lambda text: text.replace('"model": {', '"other": {'), "holds no vocabulary with merges"),
])  # fmt: skip
def test_a_damaged_tokenizer_is_refused_before_a_library_opens_it(cache, tmp_path, hub_folder, name, damage, said):
    if name == "tokenizer.json":
        CLIPTokenizer.from_pretrained(hub_folder / "tokenizer").save_pretrained(tmp_path / "cut")
    else:
        shutil.copytree(hub_folder / "tokenizer", tmp_path / "cut")
    (tmp_path / "cut" / name).write_text(damage((tmp_path / "cut" / name).read_text()))
    with pytest.raises(ValueError, match=said):
        folder.prepare(cache, ["fp16"], tmp_path / "cut")
    assert not cache.root.exists()


# --- the measurements


@pytest.fixture(scope="session")
def ran(whole) -> dict:
    """The whole run at toy size, in three Pythons."""
    return dry_run.run(dry_run.Settings(whole, "float32", frames=2, pixels=64))


@pytest.mark.timeout(900)  # three Pythons, on a machine that may have other work
def test_the_whole_run_holds(ran):
    assert [check for check in ran["checks"] if not check["holds"]] == []
    assert [row["what"] for row in ran["memory"]] == ["load", "step", "decode", "one set, held", "4 sets, held"]
    assert json.loads(json.dumps(ran)) == ran
    assert "[1, 2, 64, 64, 3]" in ran["text"] and "NO " not in ran["text"]


def test_four_pipelines_hold_four_sets_of_weights(ran, whole):
    parameters = sum(p.numel() for part in loading.skeleton(whole.snapshot).values() for p in part.parameters())
    found = {check["what"]: check["found"] for check in ran["checks"]}
    assert found["all parameters are there"] == f"{parameters:,}"
    assert found["both ways arrive at the same latents"] == "off by at most 0.0e+00"


def test_one_after_another_where_four_do_not_fit(whole, monkeypatch):
    """In this Python: that each stage has one of its own is seen in the whole run."""
    apart = {"baseline": 0, "peaks_apart": True, "threads": 1}
    monkeypatch.setattr(stages, "ask", lambda request, hub: apart | stages.STAGES[request.stage](request))
    monkeypatch.setattr(dry_run, "SHARE", 0)
    monkeypatch.setattr(stages, "SCHEDULERS", ("ddim", "lms"))
    settings = dry_run.Settings(whole, "bfloat16", frames=1, pixels=64)
    parts = report.parts_of(
        loading.skeleton(whole.snapshot), torch.bfloat16, 1, 64, dict.fromkeys(folder_checks.PARTS, 0)
    )
    one, many = dry_run._four(settings, parts)
    assert many["how"].startswith("one after another") and many["sets"] == 2
    assert (one["bytes"], many["bytes"]) == (parts.total, 2 * parts.total)
    assert report.difference(one["arrived"], many["arrived"]) <= report.SAME


def test_a_stage_that_fails_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "_CHILD", "raise SystemExit(3)")
    with pytest.raises(RuntimeError, match="'step' .*3"):
        stages.ask(stages.Request("step", "cartoon", "float32"), tmp_path)


def test_a_stage_that_the_system_ends_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "_CHILD", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(MemoryError, match="'step'.*memory"):
        stages.ask(stages.Request("step", "cartoon", "float32"), tmp_path)


def test_too_little_memory_is_said_before_a_stage(whole, monkeypatch):
    monkeypatch.setattr(probe, "memory_bytes", lambda: (GIB // 2, GIB // 2))
    with pytest.raises(MemoryError, match=r"'step' .*0\.8 GiB .*0\.5"):
        dry_run.run(dry_run.Settings(whole, "float32", frames=1, pixels=64))


def test_bfloat16_is_taken_where_the_cpu_has_it(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True, "name": "x"}, raising=False)
    assert dry_run.Settings().resolved() == torch.bfloat16
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "bf16_note": "x"}, raising=False)
    assert dry_run.Settings().resolved() == torch.float32
    assert dry_run.Settings(dtype="bfloat16").resolved() == torch.bfloat16


# --- the report

PARTS = report.Parts(
    weights={"text_encoder": 1, "unet": 4, "vae": 2},
    files={"text_encoder": 1, "unet": 8, "vae": 3},
    activations={"text_encoder": 0, "unet": 3, "vae": 1},
)


def found(load: int, step: int, decode: int, **more) -> dict:
    phases = {"load": load, "step": step, "decode": decode}
    peaks = {name: {"peak": n, "seconds": 1.0} for name, n in phases.items()}
    return {"baseline": 10, "peaks_apart": True, "phases": peaks} | more


def test_loading_holds_the_weights_so_far_and_the_file_that_is_read():
    assert report.loading(PARTS, converted=True) == 1 + 4 + 8
    assert report.loading(PARTS, converted=False) == 1 + 4 + 2
    assert report.loading(PARTS, converted=True, before=7) == 7 + 1 + 4 + 8


def test_a_peak_is_baseline_and_weights_and_activations():
    made = report.rows(PARTS, found(23, 20, 18), converted=True)
    assert [row.predicted for row in made] == [10 + 13, 10 + 7 + 3, 10 + 7 + 1]
    assert all(row.off == 0 for row in made)


def test_without_peaks_apart_only_the_first_is_judged():
    assert [row.what for row in report.rows(PARTS, found(23, 20, 18, peaks_apart=False), True)] == ["load"]


@pytest.mark.parametrize("measured, holds", [(86, True), (84, False), (114, True), (116, False)])
def test_a_peak_that_is_too_far_off_does_not_hold(measured, holds):
    (check,) = report.agreement([report.Row("step", 100, measured, 1.0)])
    assert check.holds is holds


@pytest.mark.parametrize("measured, holds", [(52, True), (50, False), (114, True), (116, False)])
def test_pages_of_a_file_may_be_dropped_while_it_is_read(measured, holds):
    assert report.Row("load", 100, measured, 1.0, least=60).holds is holds
    (load, *others) = report.rows(PARTS, found(23, 20, 18), converted=True)
    assert load.least == 10 + 7 and all(row.least is None for row in others)


def all_checks(step=None, shared=None, repeated=None) -> dict[str, bool]:
    step = found(1, 1, 1, parameters=7, finite=True, frames=[1, 2, 8, 8, 3]) | (step or {})
    same = {"arrived": {"ddim": [1.0, 2.0]}}
    one = found(1, 1, 1, bytes=7) | same | (shared or {})
    many = found(1, 1, 1, bytes=28, held=9, sets=4) | same | (repeated or {})
    return {check.what: check.holds for check in report.checks(7, PARTS, step, one, many, (2, 8, 8))}


@pytest.mark.parametrize(
    "wrong, what",
    [
        ({"step": {"parameters": 6}}, "all parameters are there"),
        ({"step": {"finite": False}}, "a guided step gives finite numbers"),
        ({"step": {"frames": [1, 2, 8, 4, 3]}}, "frames are decoded [b f h w c]"),
        ({"shared": {"bytes": 14}}, "4 schedulers on one set of weights"),
        ({"repeated": {"bytes": 7}}, "loaded 4 times, 4 sets"),
        ({"repeated": {"arrived": {"ddim": [1.0, 2.1]}}}, "both ways arrive at the same latents"),
        ({"repeated": {"arrived": {"ddim": [1.0, float("nan")]}}}, "both ways arrive at the same latents"),
        ({"repeated": {"held": 25 * GIB}}, "all below 24 GiB"),
    ],
)
def test_what_is_wrong_is_seen(wrong, what):
    assert all(all_checks().values())
    assert [name for name, holds in all_checks(**wrong).items() if not holds] == [what]


# --- the command


def test_the_command_leaves_the_report_and_says_whether_all_holds(ran, tmp_path, monkeypatch, capsys):
    settings = []
    monkeypatch.setattr(dry_run, "run", lambda asked: settings.append(asked) or dict(ran))
    out = tmp_path / "deep" / "dry_run.json"
    call = ["--out", str(out), "--folder", str(tmp_path / "w"), "--frames", "2", "--dtype", "float32"]
    assert dry_run.main(call) == 0
    assert json.loads(out.read_text())["checks"] == ran["checks"]
    assert settings == [dry_run.Settings(folder.Cache(tmp_path / "w"), "float32", 2)]
    broken = [check | {"holds": False} for check in ran["checks"][:1]]
    monkeypatch.setattr(dry_run, "run", lambda asked: ran | {"checks": broken})
    assert dry_run.main(call) == 1
    assert "does not hold: all parameters are there" in capsys.readouterr().err


def test_a_failed_stage_ends_the_command_with_1(tmp_path, monkeypatch, capsys):
    def fails(asked):
        raise RuntimeError("the stage 'step' failed")

    monkeypatch.setattr(dry_run, "run", fails)
    assert dry_run.main(["--out", str(tmp_path / "x.json")]) == 1
    assert capsys.readouterr().err == "t2v dry-run: the stage 'step' failed\n"


@pytest.mark.parametrize("words_, said", [
    (["--dtype", "float16"], "invalid choice: 'float16'"),
    (["--frames", "17"], "'17' is not allowed: give a whole number from 1 to 16"),
    (["--tokenizer", " "], "is not a name"),
])  # fmt: skip
def test_bad_words_are_refused(words_, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        dry_run.main(words_)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name, held, said", [
    ("x.txt", None, "does not end in .json: give the file that ending"),
    ("thesis.json", '{"title": "mine"}', "would replace a file that is no report of a dry run: give another name"),
    ("notes.json", "[1]", "would replace a file that is no report"),
    ("cut.json", "{", "would replace a file that is no report"),
])  # fmt: skip
def test_a_report_takes_no_other_files_place(tmp_path, monkeypatch, name, held, said):
    monkeypatch.setattr(dry_run, "run", lambda settings: pytest.fail("it ran before --out was looked at"))
    if held:
        (tmp_path / name).write_text(held)
    with pytest.raises(ValueError, match=said):
        dry_run.main(["--out", str(tmp_path / name)])
    assert [path.read_text() for path in tmp_path.iterdir()] == [held] * bool(held)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_computed(monkeypatch):
    monkeypatch.setattr(dry_run, "run", lambda settings: pytest.fail("it ran before --out was looked at"))
    with pytest.raises(PermissionError, match="/proc may not be written to"):
        dry_run.main(["--out", "/proc/x.json"])


def test_a_report_may_take_an_older_ones_place(tmp_path):
    out = tmp_path / "x.json"
    out.write_text(json.dumps(report.to_dict({}, report.Parts({}, {}, {}), [], [])))
    dry_run._check_out(out)
