"""`make bench`: every number that this project promises, measured, with how many it was counted on and how sure it is.

    python -m t2v_helpers.bench                   # all of it; writes benchmarks/ and the numbers in the two cards
    python -m t2v_helpers.bench --only vae judge  # these parts measured again, the others kept
    python -m t2v_helpers.bench --quick           # fewer prompts, wider intervals; prints, and writes nothing

Sharpness is the variance of the Laplacian where renders of the same subject and action mostly show the subject; the
same region is measured on a fresh render of the same sentence. The number is the geometric mean of the ratios.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from t2v_helpers import (
    arguments,
    cartoon,
    environment,
    files,
    generate,
    layout,
    metrics,
    models,
    speed,
    tables,
    temporal,
)
from t2v_helpers.cartoon import judge as judges
from t2v_helpers.machine import in_threads
from t2v_helpers.measures import Bar, Measure, of_ratios, of_share, of_times, of_values
from t2v_helpers.metrics import sharpness_ratio
from t2v_helpers.records import GenerationSpec

PARTS = ("judge", "vae", "grammar", "held_out", "timings", "unet", "temporal")
FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
CARDS = tuple(Path(cartoon.__file__).with_name(name) for name in ("MODEL_CARD.md", "DATA_CARD.md"))
FULL = {"prompts": 512, "held_out": 128, "renders": 1000, "clips": 256, "seeds": 32}
QUICK = {"prompts": 32, "held_out": 16, "renders": 200, "clips": 32, "seeds": 4}
SEED = metrics.STREAM  # of the sentences and renders; training uses other streams
CLOCK = "a robot is dancing in times square"
TEMPORAL = {  # the four variants: which temporal layers are off
    "on": (),
    "off": ("convolution", "attention"),
    "only convolution": ("attention",),
    "only attention": ("convolution",),
}

BARS = {
    **{f"judge/{way}": Bar(f"judge on fresh renders, {way}: weakest label", "%", 0.99)
       for way in metrics.DISTURBANCES},
    "vae/psnr": Bar("VAE on fresh renders: PSNR", "dB", 25, 29),
    "vae/sharpness": Bar("VAE on fresh renders: sharpness of the subject, against renders", "x"),
    **{f"vae/{x}": Bar(f"judge on reconstructions: {x}", "%", 0.97, 0.99) for x in metrics.LABELS},
    "grammar/subject": Bar("prompts from the grammar: subject", "%", 0.90, 0.98),
    "grammar/action": Bar("prompts from the grammar: action", "%", 0.85, 0.95),
    "grammar/place": Bar("prompts from the grammar: place", "%", 0.97, 0.99),
    "grammar/style": Bar("prompts from the grammar: style", "%", 0.95, 0.99),
    "grammar/all four": Bar("prompts from the grammar: all four", "%", 0.75, 0.92),
    "held_out/all four": Bar("held-out combinations: all four", "%", 0.60, 0.85),
    "grammar/control": Bar("shuffled captions, the control: all four", "%", 0.02, below=True),
    "grammar/sharpness": Bar("sharpness of the subject, against renders", "x", 0.5, 0.9),
    "grammar/whole": Bar("subject whole in every frame", "%"),
    "grammar/whole drawings": Bar("subject whole in every frame, of drawings of the same sentences", "%"),
    "grammar/wholeness": Bar("subject whole in every frame, as a part of the drawings' own share", "%"),
    "grammar/frechet": Bar("Fréchet distance to drawings of the same sentences", "x"),
    "grammar/frechet floor": Bar("Fréchet distance of other drawings to these", "x"),
    "timings/video": Bar("a video of 16 frames in 25 steps", "s", 8, below=True),
    "timings/first video": Bar("first video, from the start of Python", "s", 15, below=True),
    "timings/import": Bar("import t2v_helpers", "s", 0.1, below=True),
    **speed.BARS,
    "temporal/drawings/flicker": Bar("flicker of drawings of those prompts", "%"),
    **{f"temporal/{way}/flicker": Bar(f"flicker, temporal layers {way}", "%") for way in TEMPORAL},
    **{f"temporal/{way}/action": Bar(f"action as asked, temporal layers {way}", "%") for way in TEMPORAL},
}  # fmt: skip


def measure_judge(renders: int) -> dict[str, Measure]:
    """The judge's accuracy on fresh renders, as they are and disturbed: every label, and the weakest."""
    found = {}
    for way in metrics.DISTURBANCES:
        counted = metrics.judge_accuracy(renders, SEED, way)
        found |= {f"judge/{way}/{x}": of_share(counted[x]) for x in metrics.LABELS}
        found[f"judge/{way}"] = of_share(min((counted[x] for x in metrics.LABELS), key=lambda share: share.share))
    return found


def measure_vae(vae, clips: int, seed: int = SEED) -> dict[str, Measure]:
    """Fresh renders through the VAE and back: PSNR and sharpness of each clip, and what the judge reads off it."""
    noise, ratios, seen, asked = [], [], [], []
    for items in _chunks([cartoon.item(seed, i, split="all") for i in range(clips)], 8, "VAE"):
        frames = np.stack([item.frames for item in items])
        back = reconstruct(vae, frames)
        noise += [metrics.psnr(a, b) for a, b in zip(frames, back, strict=True)]
        ratios += [sharpness_ratio(video, item) for video, item in zip(back, items, strict=True)]
        seen += metrics.read(back)
        asked += [item.labels for item in items]
    counted = metrics.adherence(seen, asked)
    shares = {f"vae/{x}": of_share(counted[x]) for x in (*metrics.LABELS, metrics.ALL_FOUR)}
    return {"vae/psnr": of_values(noise), "vae/sharpness": of_ratios(ratios), **shares}


@torch.inference_mode()
def reconstruct(vae, frames: np.ndarray) -> np.ndarray:
    """Frames uint8 [b f h w c] encoded to the mode of their latents and decoded again, the same shape."""
    x = layout.fold_frames(layout.to_float(torch.from_numpy(frames))).to(vae.device, vae.dtype)  # [(b f) c h w]
    back = vae.decode(vae.encode(x).latent_dist.mode()).sample
    return layout.to_uint8(layout.unfold_frames(back.float().cpu(), len(frames))).numpy()


def measure_prompts(pipe, prompts: int, split: str, batch_size: int = 8, steps: int = 25) -> tuple[dict, dict]:
    """Videos of `prompts` sentences of a split, read by the judge: (measures, right answers word by word)."""
    part = "held_out" if split == "held_out" else "grammar"
    items = [cartoon.item(SEED, i, split=split) for i in range(prompts)]
    made = []
    for chunk in _chunks(list(enumerate(items)), batch_size, part):
        specs = [GenerationSpec(prompt=item.caption, seed=i, scheduler="dpm++", steps=steps) for i, item in chunk]
        made += [video.frames for video in generate.generate_batch(pipe, specs, batch_size)]
    videos, asked = np.stack(made), [item.labels for item in items]
    seen = metrics.read(videos)
    ratios = [sharpness_ratio(video, item) for video, item in zip(videos, items, strict=True)]
    counted, control = metrics.adherence(seen, asked), metrics.adherence(seen, metrics.shuffled(asked))
    found = {f"{part}/{x}": of_share(counted[x]) for x in (*metrics.LABELS, metrics.ALL_FOUR)}
    found |= {f"{part}/control": of_share(control[metrics.ALL_FOUR]), f"{part}/sharpness": of_ratios(ratios)}
    looks = measure_looks(videos, items)
    return found | {f"{part}/{name}": m for name, m in looks.items()}, by_word(seen, asked)


def measure_looks(videos: np.ndarray, items: list[cartoon.Item]) -> dict[str, Measure]:
    """What no label tells of videos uint8 [b f 64 64 3]: how many are whole, and how far they are from drawings.

    Both beside drawings of the same sentences; the Frechet distance also by label and word, "frechet/subject/dog".
    """
    asked = [item.labels for item in items]
    whole = metrics.wholeness(videos, asked).share
    drawn = metrics.wholeness(np.stack([item.frames for item in items]), asked).share
    found = {"whole": of_share(whole), "whole drawings": of_share(drawn)}
    if drawn.k:
        found["wholeness"] = Measure(*(x / drawn.share for x in (whole.share, *whole.interval)), whole.n)
    for name, gap in metrics.frechet_to_drawings(videos, asked, SEED).items():
        end = "" if name == "all" else f"/{name}"
        found |= {f"frechet{end}": gap.distance, f"frechet floor{end}": gap.floor}
    return found


def by_word(seen: list[cartoon.Labels], asked: list[cartoon.Labels]) -> dict[str, dict[str, list[int]]]:
    """For each word of each label: [how often it was read right, how often it was asked]."""
    table = {label: {} for label in metrics.LABELS}
    for s, a in zip(seen, asked, strict=True):
        for label in metrics.LABELS:
            count = table[label].setdefault(getattr(a, label), [0, 0])
            count[0] += getattr(s, label) == getattr(a, label)
            count[1] += 1
    return {label: dict(sorted(words.items())) for label, words in table.items()}


def measure_timings(pipe, model: str, repeats: int = 3, steps: int = 25) -> dict[str, Measure]:
    """Seconds of a warm video of 16 frames; of a first video in a new Python; of `import t2v_helpers`."""
    spec = GenerationSpec(prompt=CLOCK, steps=steps, frames=16)
    generate.generate(pipe, spec)
    first = (
        "import sys; from t2v_helpers import generate, models; from t2v_helpers.records import GenerationSpec; "
        f"generate.generate(models.load(sys.argv[1], quiet=True), GenerationSpec({CLOCK!r}, steps={steps}))"
    )
    inside = "import time; t = time.perf_counter(); import t2v_helpers; print(time.perf_counter() - t)"
    return {
        "timings/video": of_times([_seconds(lambda: generate.generate(pipe, spec)) for _ in range(repeats)]),
        "timings/first video": of_times([_seconds(lambda: _python(first, model)) for _ in range(repeats)]),
        "timings/import": of_times([float(_python(inside)) for _ in range(repeats)]),
    }


def measure_temporal(pipe, seeds: int, steps: int = 12) -> dict[str, Measure]:
    """The same prompts and seeds with the temporal layers on, off, and one kind alone: flicker, and the action read."""
    items = [cartoon.item(SEED, i, split="all") for i in range(seeds)]
    specs = [GenerationSpec(item.caption, seed=i, steps=steps) for i, item in enumerate(items)]
    found = {"temporal/drawings/flicker": of_values([metrics.flicker(item.frames) for item in items])}
    for way, off in tqdm(TEMPORAL.items(), desc="temporal", unit="variant"):
        with temporal.temporal_layers_off(pipe.unet, off):
            videos = [made.frames for made in generate.generate_batch(pipe, specs)]
        counted = metrics.adherence(metrics.read(np.stack(videos)), [item.labels for item in items])
        found[f"temporal/{way}/flicker"] = of_values([metrics.flicker(video) for video in videos])
        found[f"temporal/{way}/action"] = of_share(counted["action"])
    return found


def measure(part: str, pipe, options: argparse.Namespace) -> tuple[dict[str, Measure], dict]:
    """One of PARTS measured: its measures by name, and for the prompts the right answers word by word."""
    if part == "judge":
        return measure_judge(options.renders), {}
    if part == "vae":
        return measure_vae(pipe.vae, options.clips), {}
    if part == "timings":
        return measure_timings(pipe, options.model), {}
    if part == "unet":
        return speed.measure_unet(pipe.unet), {}
    if part == "temporal":
        return measure_temporal(pipe, options.seeds), {}
    split, n = ("all", options.prompts) if part == "grammar" else ("held_out", options.held_out)
    return measure_prompts(pipe, n, split, options.batch)


def run(options: argparse.Namespace) -> dict[str, dict]:
    """The parts that `options` names, each with its command, the weights it measured and the machine, for JSON."""
    pipe = pipeline(options.model)  # also for the judge, who does not need it: a wrong name is refused at once
    hashes = {part: weights(part, options.model) for part in options.only}
    results = {}
    for part in options.only:
        measures, words = measure(part, pipe, options)
        results[part] = {
            "command": command(part, options),
            "weights": hashes[part],
            "machine": machine(),
            "measures": {name: asdict(m) for name, m in measures.items()},
            "words": words,
        }
    return results


def pipeline(model: str):
    """The model that is measured. Raises ValueError for one that is not of the cartoon world, before a download."""
    pipe = None if model == "modelscope" else models.load(model, quiet=True)
    if pipe is None or not models.is_cartoon(pipe):
        raise ValueError(f"model {model!r} is not of the cartoon world, so the judge cannot read it: take 'cartoon'.")
    return pipe


def weights(part: str, model: str = "cartoon") -> str:
    """SHA-256 of what a part measures: the judge's weights, or the manifest of the model's folder.

    FileNotFoundError: the folder has no manifest.
    """
    return files.sha256(judges.WEIGHTS) if part == "judge" else tables.weights(model)


def machine() -> str:
    """The machine that measured: processor, threads, and the versions of Python and torch."""
    seen = environment.look()
    return f"{seen.cpu}, {in_threads(seen.threads)}, Python {seen.python}, torch {torch.__version__}"


def command(part: str, options: argparse.Namespace) -> str:
    """The command that measures `part` again."""
    counts = {"judge": ("renders",), "vae": ("clips",), "grammar": ("prompts",), "held_out": ("held_out",)}
    counts["temporal"] = ("seeds",)
    given = [f"--{name.replace('_', '-')} {getattr(options, name)}" for name in counts.get(part, ())]
    return " ".join(["t2v bench", f"--model {options.model}", f"--only {part}", *given])


def recorded(part: str) -> dict[str, Measure]:
    """The committed measures of a part; none where it was not measured yet."""
    path = FOLDER / "results.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {name: Measure(**m) for name, m in found.get(part, {"measures": {}})["measures"].items()}


def missed(results: dict) -> list[str]:
    """The bars that these results do not reach, in words."""
    return [bar.what for bar, m in _measured(results) if not bar.reached(m.value)]


def table(results: dict) -> str:
    """Every bar that was measured, as a Markdown table."""
    if not results:
        return "Not measured yet: run `make bench`."
    head = ["| what | measured | 95 % interval | n | bar | aim | |", "|---|---|---|---|---|---|---|"]
    return "\n".join([*head, *(bar.row(m) for bar, m in _measured(results))])


def word_table(results: dict) -> str:
    """How often each word was read right of how often it was asked, as a Markdown table."""
    rows = ["| prompts | label | right of asked |", "|---|---|---|"]
    for part, found in results.items():
        for label, counts in found["words"].items():
            rows.append(f"| {part} | {label} | {', '.join(f'{w} {k}/{n}' for w, (k, n) in counts.items())} |")
    return "\n".join(rows)


def page(results: dict) -> str:
    """benchmarks/README.md: the tables, and for each part the command and the machine."""
    sources = "\n".join(f"- {part}: `{found['command']}`, on {found['machine']}" for part, found in results.items())
    return (
        f"# Benchmarks\n\nMade by `make bench`. Shares have Wilson's 95 % interval; times are the median, with the "
        f"fastest and the\nslowest run as the interval.\n\n{table(results)}\n\nWord by word, what the judge read in "
        f"the videos:\n\n{word_table(results)}\n\nThe command of each part:\n\n{sources}\n"
    )


def held_out_list() -> str:
    """The combinations that training never sees, as a Markdown list, one line a subject."""
    lines = {}
    for subject, action, place in cartoon.HELD_OUT:
        lines.setdefault(subject, []).append(f"{action} / {place}")
    return "\n".join(f"- {subject}: {', '.join(found)}" for subject, found in lines.items())


def world_facts() -> str:
    """The size of the grammar, and how much of it is held out, as a Markdown table."""
    everything = cartoon.combinations()
    held = sum(map(cartoon.is_held_out, everything))
    rows = {x: ", ".join(words) for x, words in judges.CLASSES.items()}
    rows["combinations"] = f"{len(everything)}, of which {held} ({held / len(everything):.1%}) are held out"
    rows["vocabulary"] = f"{len(cartoon.vocabulary())} words"
    rows["a clip"] = f"{cartoon.SIZE} x {cartoon.SIZE} pixels, {cartoon.FPS} frames a second"
    return "\n".join(["| what | |", "|---|---|", *(f"| {what} | {fact} |" for what, fact in rows.items())])


def filled(card: str, results: dict) -> str:
    """The text of a card with each block between `<!-- NAME -->` and `<!-- end -->` made anew."""
    made = {"bench": table(results), "held out": held_out_list(), "world": world_facts()}
    for name, text in made.items():
        block = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        card = block.sub(lambda found, text=text: found[1] + text + found[2], card)
    return card


def write(results: dict, folder: Path) -> None:
    """Write results.json and README.md into `folder`, parts not measured now as they were, and the numbers of CARDS."""
    path = folder / "results.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    merged = {part: (before | results)[part] for part in PARTS if part in before | results}
    files.write_text(path, json.dumps(merged, indent=2) + "\n")
    files.write_text(folder / "README.md", page(merged))
    for card in CARDS:
        files.write_text(card, filled(card.read_text(encoding="utf-8"), merged))


def main(argv: list[str] | None = None) -> int:
    """Measure and print; write the files where no count was lowered. Returns 1 where a bar is missed."""
    as_written = argparse.RawDescriptionHelpFormatter
    p = add_options(arguments.Parser(prog="t2v bench", description=__doc__, formatter_class=as_written))
    options = p.parse_args(argv)
    if options.quick:
        p.set_defaults(**QUICK)
        options = p.parse_args(argv)
    results = run(options)
    print(json.dumps(results, indent=2) if options.json else f"{table(results)}\n\n{word_table(results)}")
    if is_full(options):
        write(results, FOLDER)
    for what in missed(results):
        print(f"below the bar: {what}", file=sys.stderr)
    return 1 if missed(results) else 0


def is_full(options: argparse.Namespace) -> bool:
    """True where the shipped model is measured, no count was lowered, and a checkout is there to hold the files."""
    whole = all(getattr(options, name) >= FULL[name] for name in FULL)
    return whole and options.model == "cartoon" and (FOLDER.parent / "pyproject.toml").exists()


def add_options(p: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The benchmark's options, added to a parser (`t2v bench` has the same)."""
    p.add_argument("--model", default="cartoon", help="cartoon, or a folder with a model of the cartoon world")
    counted = {
        "prompts": "sentences from the grammar",
        "held_out": "sentences of held-out combinations",
        "renders": "fresh renders for the judge, each way",
        "clips": "fresh renders for the VAE",
        "seeds": "videos of each variant of the temporal layers",
        "batch": "videos made at once",
    }
    for name, what in counted.items():
        words = f"--{name.replace('_', '-')}"
        p.add_argument(words, type=arguments.whole(), default=FULL.get(name, 8), help=f"{what} (%(default)s)")
    p.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts alone")
    p.add_argument("--quick", action="store_true", help="smaller numbers where none is given, and wider intervals")
    p.add_argument("--json", action="store_true", help="print the results as JSON")
    return p


def _measured(results: dict) -> Iterator[tuple[Bar, Measure]]:
    found = {name: m for part in results.values() for name, m in part["measures"].items()}
    for name, bar in BARS.items():
        if name in found:
            yield bar, Measure(**found[name])


def _chunks(things: list, size: int, what: str) -> Iterator[list]:
    for start in tqdm(range(0, len(things), size), desc=what, unit="batch"):
        yield things[start : start + size]


def _seconds(work: Callable) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _python(code: str, *arguments: str) -> str:
    """What a new Python prints for `code`; it finds the package where this one was found."""
    call = [sys.executable, "-c", code, *arguments]
    root = Path(__file__).resolve().parents[1]
    return subprocess.run(call, check=True, capture_output=True, text=True, cwd=root).stdout


if __name__ == "__main__":
    raise SystemExit(main())
