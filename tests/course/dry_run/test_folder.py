"""Random weights in the hub's layout, at toy size."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import try_to_load_from_cache
from transformers import CLIPTokenizer

from t2v_helpers import cartoon
from t2v_helpers.cartoon.tokenizer import vocabulary_of_size
from t2v_helpers.course.dry_run import folder
from t2v_helpers.model import folders, hub, loading


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
    for part in folders.PARTS:
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
    first, second, _ = folder.prepare(cache, ["fp16"])
    kept, right = first.path.stat().st_mtime_ns, second.path.read_bytes()
    second.path.write_bytes(right[:1000])
    folder.prepare(cache, ["fp16"])
    assert first.path.stat().st_mtime_ns == kept and second.path.read_bytes() == right
    assert not list(cache.root.rglob(".*"))


def test_a_stopped_run_leaves_no_half_file_and_goes_on(cache, monkeypatch):
    first, second, third = (cache.snapshot / name for name in hub.WEIGHTS["fp16"])
    numbers = folder.numbers

    def stop(*asked) -> torch.Tensor:
        if first.exists():
            raise KeyboardInterrupt
        return numbers(*asked)

    monkeypatch.setattr(folder, "numbers", stop)
    with pytest.raises(KeyboardInterrupt):
        folder.prepare(cache, ["fp16"])
    monkeypatch.undo()
    assert (first.exists(), second.exists(), third.exists()) == (True, False, False)
    assert not list(cache.root.rglob(".*"))
    assert not any(file.missing for file in folder.prepare(cache, ["fp16"]))


def test_the_folder_says_what_it_holds(whole):
    assert "Random weights" in (whole.root / "README.txt").read_text()


def test_a_folder_with_other_things_is_left_alone(cache):
    cache.root.mkdir()
    (cache.root / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="dry_run': it holds files, but no dry_run.json"):
        folder.prepare(cache, ["fp16"])
    assert [path.name for path in cache.root.iterdir()] == ["thesis.txt"]


def test_weights_of_another_seed_are_left_alone(whole):
    with pytest.raises(ValueError, match="another shape or seed: delete it"):
        folder.prepare(replace(whole, seed=1), ["fp16"])


def test_too_little_disk_is_said_before_writing(cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=200_000))
    with pytest.raises(OSError, match=r"random weights needs 0\.0 GiB in .*dry_run, but 0\.0 are free"):
        folder.prepare(cache, ["fp16"])
    assert not list(cache.root.rglob("*.safetensors"))


def test_a_diffusers_that_builds_another_network_is_told(cache, shapes, tmp_path):
    other = tmp_path / "shapes"
    shutil.copytree(shapes, other)
    sizes = {"": {}, "fp16": {"unet/diffusion_pytorch_model.fp16.safetensors": {"bytes": 17}}}
    (other / "weights.json").write_text(json.dumps(sizes))
    with pytest.raises(
        ValueError, match="unet/.* has 17 bytes as published, but this version of diffusers .* constraints.txt"
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
    with pytest.raises(ValueError, match=f"size={size} .*514 to 66050"):
        vocabulary_of_size(size)


@pytest.mark.parametrize("size", [514, 600, 66050])
def test_a_vocabulary_has_its_size(size):
    vocabulary, merges = vocabulary_of_size(size)
    assert len(vocabulary) == size and sorted(vocabulary.values()) == list(range(size))
    assert all(merge.replace(" ", "") in vocabulary for merge in merges)
