"""The benchmark: each bar of the project is measured, printed and written, and the cards say what the files say."""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from t2v_helpers import bench, cartoon, files, metrics, models

RESULTS = bench.FOLDER / "results.json"
TOY = {
    "judge": {"command": "t2v bench --only judge", "weights": "abc", "machine": "a laptop", "words": {},
              "measures": {"judge/none": {"value": 0.995, "low": 0.98, "high": 1.0, "n": 200}}},
    "grammar": {"command": "t2v bench --only grammar", "weights": "def", "machine": "a laptop",
                "words": {"subject": {"cat": [1, 2], "dog": [3, 3]}},
                "measures": {"grammar/all four": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 64},
                             "grammar/control": {"value": 0.0, "low": 0.0, "high": 0.01, "n": 64},
                             "grammar/sharpness": {"value": 0.93, "low": 0.9, "high": 0.95, "n": 64}}},
}  # fmt: skip


@pytest.fixture
def own_folder(tmp_path, monkeypatch) -> Path:
    """A checkout of the test's own, with the two cards in it."""
    cards = []
    for card in bench.CARDS:
        cards.append(tmp_path / card.name)
        cards[-1].write_text(card.read_text())
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(bench, "FOLDER", tmp_path / "benchmarks")
    monkeypatch.setattr(bench, "CARDS", tuple(cards))
    return tmp_path / "benchmarks"


def clip(labels: cartoon.Labels, seed: int) -> np.ndarray:
    return cartoon.render(labels, seed)[0]


def options(*words: str) -> argparse.Namespace:
    return bench.add_options(argparse.ArgumentParser()).parse_args(words)


# --- the bars


@pytest.mark.parametrize(
    "name, bar, aim",
    [
        ("judge/none", 0.99, None), ("judge/blur", 0.99, None), ("judge/noise", 0.99, None),
        ("judge/shift", 0.99, None),
        ("vae/psnr", 25, 29), ("vae/subject", 0.97, 0.99), ("vae/action", 0.97, 0.99), ("vae/place", 0.97, 0.99),
        ("vae/style", 0.97, 0.99), ("grammar/subject", 0.90, 0.98), ("grammar/action", 0.85, 0.95),
        ("grammar/place", 0.97, 0.99), ("grammar/style", 0.95, 0.99), ("grammar/all four", 0.75, 0.92),
        ("held_out/all four", 0.60, 0.85), ("grammar/sharpness", 0.5, 0.9),
    ],
)  # fmt: skip
def test_a_bar_is_what_was_promised(name, bar, aim):
    found = bench.BARS[name]
    assert (found.bar, found.aim, found.below) == (bar, aim, False)
    assert found.reached(bar) and not found.reached(bar - 1e-6)


@pytest.mark.parametrize(
    "name, bar",
    [
        ("grammar/control", 0.02),
        ("timings/video", 8),
        ("timings/first video", 15),
        ("timings/import", 0.1),
        ("unet/ratio", 1),
    ],
)
def test_a_limit_is_what_was_promised(name, bar):
    found = bench.BARS[name]
    assert (found.bar, found.below) == (bar, True) and found.reached(bar) and not found.reached(bar + 1e-6)


# --- numbers and their intervals


def test_of_values_has_an_interval_of_standard_errors():
    m = bench.of_values([1.0, 2.0, 3.0, 4.0])
    half = 1.96 * np.std([1, 2, 3, 4], ddof=1) / 2
    assert (m.value, m.low, m.high, m.n) == pytest.approx((2.5, 2.5 - half, 2.5 + half, 4))


def test_one_value_is_not_sure_of_anything():
    assert bench.of_values([3.0]).high == float("inf")


def test_of_ratios_is_the_geometric_mean():
    m = bench.of_ratios([0.5, 2.0, 1.0])
    assert m.value == pytest.approx(1.0) and m.low * m.high == pytest.approx(1.0) and m.low < 1


def test_of_times_shows_median_fastest_and_slowest():
    assert bench.of_times([3.0, 1.0, 2.0]) == bench.Measure(2.0, 1.0, 3.0, 3)


def test_of_share_has_wilsons_interval():
    assert bench.of_share(metrics.Share(3, 4)) == bench.Measure(0.75, *metrics.wilson(3, 4), 4)


def test_by_word_counts_what_was_asked():
    a, b = cartoon.Labels("dog", "dancing", "lake"), cartoon.Labels("cat", "dancing", "lake")
    assert bench.by_word([a, a], [a, b])["subject"] == {"cat": [0, 1], "dog": [1, 1]}
    assert bench.by_word([a, a], [a, b])["action"] == {"dancing": [2, 2]}


# --- measuring


def test_judge_is_measured_in_every_way():
    found = bench.measure_judge(8)
    assert {f"judge/{way}" for way in metrics.DISTURBANCES} <= set(found)
    weakest = min(found[f"judge/blur/{x}"].value for x in metrics.LABELS)
    assert found["judge/blur"].value == weakest and found["judge/blur"].n == 8


def test_vae_is_measured_on_fresh_renders(toy_pipe):
    found = bench.measure_vae(toy_pipe.vae, 3)
    assert 0 < found["vae/psnr"].value < 25 and found["vae/place"].n == 3  # the toy is not trained
    assert found["vae/sharpness"].n == 3 and not 0.8 < found["vae/sharpness"].value < 1.2


def test_reconstruction_of_every_video_is_its_own(toy_pipe):
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64, 3), dtype=np.uint8)
    both, second = bench.reconstruct(toy_pipe.vae, frames), bench.reconstruct(toy_pipe.vae, frames[1:])
    assert both.shape == frames.shape and both.dtype == np.uint8
    assert np.abs(both[1:].astype(int) - second).max() <= 1


def test_prompts_are_measured_and_counted(toy_pipe):
    found, words = bench.measure_prompts(toy_pipe, 3, "held_out", batch_size=2, steps=2)
    assert found["held_out/all four"].n == 3 and found["held_out/sharpness"].value > 0
    assert found["held_out/whole"].n == 3 and found["held_out/frechet"].value > found["held_out/frechet floor"].value
    assert sum(asked for _, asked in words["subject"].values()) == 3


def test_sharpness_of_renders_against_renders_is_about_one():
    dogs = [x for x in cartoon.combinations() if (x.subject, x.action) == ("dog", "dancing")]
    items = [cartoon.Item(clip(labels, i), "", labels, np.empty(0)) for i, labels in enumerate(dogs)]
    ratios = [bench.sharpness_ratio(clip(item.labels, 900 + i), item) for i, item in enumerate(items)]
    assert bench.of_ratios(ratios).value == pytest.approx(1, abs=0.1)


def test_looks_of_drawings_are_those_of_drawings():
    items = [cartoon.item(bench.SEED, i, frames=4, split="all") for i in range(32)]
    found = bench.measure_looks(np.stack([item.frames for item in items]), items)
    assert found["whole"] == found["whole drawings"] and found["wholeness"].value == 1
    assert found["frechet"].value < 2 * found["frechet floor"].value
    assert found["frechet/style/plain"].n < found["frechet"].n == 32


def test_times_are_measured(toy_pipe, toy_folder):
    found = bench.measure_timings(toy_pipe, str(toy_folder), repeats=1, steps=2)
    assert 0 < found["timings/import"].value < found["timings/first video"].value
    assert found["timings/video"].value > 0


def test_temporal_layers_are_measured_on_off_and_one_kind_alone(toy_pipe):
    found = bench.measure_temporal(toy_pipe, 2, steps=2)
    assert set(found) == {name for name in bench.BARS if name.startswith("temporal/")}
    assert all(m.n == 2 for m in found.values()) and found["temporal/drawings/flicker"].value >= 0
    flickers = [found[f"temporal/{way}/flicker"].value for way in bench.TEMPORAL]
    assert len(set(flickers)) == 4, "a variant leaves the same layers on as another one"


def test_what_was_recorded_is_read_back(own_folder):
    assert bench.recorded("judge") == {}
    bench.write({"judge": TOY["judge"]}, own_folder)
    assert bench.recorded("judge") == {"judge/none": bench.Measure(0.995, 0.98, 1.0, 200)}
    assert bench.recorded("temporal") == {}


# --- tables, files, cards


def test_the_table_shows_value_interval_number_bar_and_verdict():
    rows = bench.table(TOY).splitlines()
    assert rows[2].endswith("weakest label | 99.5 % | 98.0 % to 100.0 % | 200 | at least 99.0 % |  | pass |")
    assert rows[3].endswith("all four | 50.0 % | 40.0 % to 60.0 % | 64 | at least 75.0 % | 92.0 % | **miss** |")
    assert "at most 2.0 %" in rows[4] and "0.93 x" in rows[5]


def test_what_is_missed_is_named():
    assert bench.missed(TOY) == ["prompts from the grammar: all four"]


def test_without_results_nothing_is_claimed():
    assert bench.table({}) == "Not measured yet: run `make bench`."


def test_the_page_has_words_commands_and_machine():
    page = bench.page(TOY)
    assert "cat 1/2, dog 3/3" in page and "- judge: `t2v bench --only judge`, on a laptop" in page


def test_writing_keeps_what_was_not_measured_again(own_folder):
    bench.write({"judge": TOY["judge"]}, own_folder)
    bench.write({"grammar": TOY["grammar"]}, own_folder)
    assert json.loads((own_folder / "results.json").read_text()) == TOY
    assert (own_folder / "README.md").read_text() == bench.page(TOY)
    assert bench.table(TOY) in bench.CARDS[0].read_text()


def test_a_command_measures_its_part_again():
    asked = options("--prompts", "600", "--only", "grammar")
    assert bench.command("grammar", asked) == "t2v bench --model cartoon --only grammar --prompts 600"
    assert bench.command("temporal", asked) == "t2v bench --model cartoon --only temporal --seeds 32"
    assert bench.command("held_out", asked) == "t2v bench --model cartoon --only held_out --held-out 128"


def test_a_quick_run_prints_and_writes_nothing(own_folder, capsys, monkeypatch):
    monkeypatch.setattr(bench, "QUICK", {"prompts": 2, "held_out": 2, "renders": 4, "clips": 2})
    bench.main(["--only", "judge", "--quick"])
    assert "judge on fresh renders, blur: weakest label" in capsys.readouterr().out
    assert not own_folder.exists()


def test_a_quick_run_takes_the_numbers_that_are_given(monkeypatch):
    seen = []
    monkeypatch.setattr(bench, "run", lambda options: seen.append(options) or {})
    assert bench.main(["--quick", "--clips", "1", "--seeds", "5"]) == 0
    assert (seen[0].clips, seen[0].seeds, seen[0].prompts) == (1, 5, bench.QUICK["prompts"])


def test_weights_without_a_manifest_are_refused_before_anything_is_measured(toy_folder, tmp_path, monkeypatch):
    folder = shutil.copytree(toy_folder, tmp_path / "toy")
    (folder / files.MANIFEST).unlink()
    monkeypatch.setattr(bench, "measure", lambda *_: pytest.fail("measuring began before the check"))
    with pytest.raises(FileNotFoundError, match="manifest.json does not exist, and it names the weights: files.write"):
        bench.main(["--model", str(folder), "--only", "vae"])


def test_a_wrong_model_is_refused_for_the_judge_too():
    with pytest.raises(ValueError, match="model='nope' is unknown"):
        bench.main(["--model", "nope", "--only", "judge"])


def test_a_full_run_of_a_part_writes(own_folder, capsys, monkeypatch):
    monkeypatch.setattr(bench, "FULL", bench.FULL | {"renders": 4})
    bench.main(["--only", "judge", "--renders", "4", "--json"])
    found = json.loads((own_folder / "results.json").read_text())
    assert found == json.loads(capsys.readouterr().out) and found["judge"]["weights"] == bench.weights("judge")


def test_a_missed_bar_ends_in_an_error(capsys, monkeypatch):
    monkeypatch.setattr(bench, "run", lambda options: TOY)
    assert bench.main(["--quick"]) == 1
    assert "below the bar: prompts from the grammar: all four" in capsys.readouterr().err


def test_models_of_another_world_are_refused(hub_folder):
    for model in ("modelscope", str(hub_folder)):
        with pytest.raises(ValueError, match="is not of the cartoon world, so the judge cannot read it"):
            bench.pipeline(model)


@pytest.mark.parametrize("words", [["--prompts", "0"], ["--clips", "-3"], ["--renders", "x"], ["--only", "sound"]])
def test_bad_options_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        options(*words)
    assert "give a whole number, at least 1" in (found := capsys.readouterr().err) or "invalid choice" in found


# --- what the repository says


def results() -> dict:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


@pytest.mark.parametrize("part", bench.PARTS)
def test_every_part_was_measured_on_the_weights_that_ship(part):
    assert part in results(), f"{part} is not measured: run `t2v bench --only {part}`"
    assert results()[part]["weights"] == bench.weights(part), f"measure again: `{results()[part]['command']}`"


def test_the_judges_weights_and_the_benchmark_tell_one_accuracy():
    measured = {name: m.value for name, m in bench.recorded("judge").items() if name.startswith("judge/none/")}
    told = {f"judge/none/{name}": metrics.judge_share(name).share for name in metrics.LABELS}
    assert told == measured and metrics.judge_share("subject").n == bench.recorded("judge")["judge/none/subject"].n


def test_the_committed_page_is_made_of_the_committed_results():
    assert (bench.FOLDER / "README.md").read_text() == bench.page(results())


@pytest.mark.parametrize("card", bench.CARDS, ids=lambda card: card.name)
def test_a_card_says_what_the_results_and_the_world_say(card):
    text = card.read_text()
    assert "<!-- end -->" in text and bench.filled(text, results()) == text


def test_a_card_is_filled_block_by_block():
    card = "a\n<!-- bench -->\nold\n<!-- end -->\nb\n<!-- held out -->\nold\n<!-- end -->\nc"
    assert bench.filled(card, TOY) == (
        f"a\n<!-- bench -->\n{bench.table(TOY)}\n<!-- end -->\nb\n<!-- held out -->\n{bench.held_out_list()}\n"
        "<!-- end -->\nc"
    )


def test_the_held_out_list_names_all_of_them():
    text = bench.held_out_list()
    assert text.count(" / ") == len(cartoon.HELD_OUT)
    assert "- robot: dancing / times square" in text


def test_weights_are_named_by_their_hash():
    assert bench.weights("judge") == files.sha256(bench.judges.WEIGHTS)
    assert bench.weights("vae") == files.sha256(models.CARTOON / "manifest.json")
