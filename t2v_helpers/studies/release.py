"""`make bench`: every number that this project promises, measured, with its n and its interval.

    t2v bench                   # everything; writes benchmarks/ and the numbers in the two cards
    t2v bench --only vae judge  # these parts again, the others kept
    t2v bench --quick           # fewer prompts, wider intervals; prints, and writes nothing

What is measured is declared once, in PARTS. Sharpness is the variance of the Laplacian in the subject's usual region,
divided by that of a fresh render of the same sentence; reported is the geometric mean of the ratios.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from t2v_helpers import cartoon, metrics
from t2v_helpers.cartoon import judge as judges
from t2v_helpers.core import arguments, files, layout, paths, tables, video
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.inside import temporal
from t2v_helpers.machine import doctor
from t2v_helpers.machine.probe import in_threads
from t2v_helpers.metrics.estimates import Bar, Measure, of_ratios, of_share, of_times, of_values
from t2v_helpers.model import generate, loading
from t2v_helpers.studies import study, unet_speed

FOLDER = paths.BENCHMARKS
CARDS = (paths.WEIGHTS / "MODEL_CARD.md", paths.PACKAGE / "cartoon" / "DATA_CARD.md")
SEED = 20_261  # of the sentences and renders, used nowhere else
CLOCK = "a robot is dancing in times square"
GRAMMAR = {  # label -> least share, aim
    "subject": (0.90, 0.98), "action": (0.85, 0.95), "place": (0.97, 0.99), "style": (0.95, 0.99),
    "all four": (0.75, 0.92),
}  # fmt: skip
TEMPORAL = {  # variant -> the temporal layers that are off
    "on": (),
    "off": ("convolution", "attention"),
    "only convolution": ("attention",),
    "only attention": ("convolution",),
}


def measure_judge(renders: int) -> dict[str, Measure]:
    """The judge's accuracy on fresh renders, undisturbed and disturbed: every label, and the weakest."""
    found = {}
    for way in metrics.DISTURBANCES:
        counted = metrics.judge_accuracy(renders, SEED, way)
        found |= {f"judge/{way}/{x}": of_share(counted[x]) for x in metrics.LABELS}
        found[f"judge/{way}"] = of_share(min((counted[x] for x in metrics.LABELS), key=lambda share: share.share))
    return found


def measure_vae(vae, clips: int, seed: int = SEED) -> dict[str, Measure]:
    """Fresh renders, encoded and decoded: PSNR of each clip, and what the judge reads in the result."""
    ratios, seen, asked = [], [], []
    for items in _chunks([cartoon.item(seed, i, split="all") for i in range(clips)], 8, "VAE"):
        frames = np.stack([item.frames for item in items])
        back = reconstruct(vae, frames)
        ratios += [metrics.psnr(a, b) for a, b in zip(frames, back, strict=True)]
        seen += metrics.read(back)
        asked += [item.labels for item in items]
    counted = metrics.adherence(seen, asked)
    return {"vae/psnr": of_values(ratios), **{f"vae/{x}": of_share(counted[x]) for x in (*metrics.LABELS, "all four")}}


@torch.inference_mode()
def reconstruct(vae, frames: np.ndarray) -> np.ndarray:
    """Frames uint8 [b f h w c], encoded to the mode of their latents and decoded: the same shape."""
    x = layout.fold_frames(layout.to_float(torch.from_numpy(frames))).to(vae.device, vae.dtype)  # [(b f) c h w]
    back = vae.decode(vae.encode(x).latent_dist.mode()).sample
    return layout.to_uint8(layout.unfold_frames(back.float().cpu(), len(frames))).numpy()


def measure_prompts(pipe, prompts: int, split: str, batch_size: int = 8, steps: int = 25) -> tuple[dict, dict]:
    """Videos of `prompts` sentences of a split, read by the judge: (measures, right answers by word)."""
    part = "held_out" if split == "held_out" else "grammar"
    items = [cartoon.item(SEED, i, split=split) for i in range(prompts)]
    seen, ratios = [], []
    for chunk in _chunks(list(enumerate(items)), batch_size, part):
        specs = [GenerationSpec(prompt=item.caption, seed=i, scheduler="dpm++", steps=steps) for i, item in chunk]
        videos = [made.frames for made in generate.generate_batch(pipe, specs, batch_size)]
        seen += metrics.read(np.stack(videos))
        ratios += [metrics.sharpness_ratio(video, item) for video, (_, item) in zip(videos, chunk, strict=True)]
    asked = [item.labels for item in items]
    counted, control = metrics.adherence(seen, asked), metrics.adherence(seen, metrics.shuffled(asked))
    found = {f"{part}/{x}": of_share(counted[x]) for x in (*metrics.LABELS, metrics.ALL_FOUR)}
    found |= {f"{part}/control": of_share(control[metrics.ALL_FOUR]), f"{part}/sharpness": of_ratios(ratios)}
    return found, by_word(seen, asked)


def by_word(seen: list[cartoon.Labels], asked: list[cartoon.Labels]) -> dict[str, dict[str, list[int]]]:
    """label -> word -> [how often it was read right, how often it was asked]."""
    table = {label: {} for label in metrics.LABELS}
    for s, a in zip(seen, asked, strict=True):
        for label in metrics.LABELS:
            count = table[label].setdefault(getattr(a, label), [0, 0])
            count[0] += getattr(s, label) == getattr(a, label)
            count[1] += 1
    return {label: dict(sorted(words.items())) for label, words in table.items()}


def measure_timings(pipe, model: str, repeats: int = 3, steps: int = 25) -> dict[str, Measure]:
    """Seconds of a warm video of 16 frames, of a first video in a new Python, and of `import t2v_helpers`."""
    spec = GenerationSpec(prompt=CLOCK, steps=steps, frames=16)
    generate.generate(pipe, spec)
    first = (
        "import sys; from t2v_helpers.model import generate, loading; "
        "from t2v_helpers.core.records import GenerationSpec; "
        f"generate.generate(loading.load(sys.argv[1], quiet=True), GenerationSpec({CLOCK!r}, steps={steps}))"
    )
    inside = "import time; t = time.perf_counter(); import t2v_helpers; print(time.perf_counter() - t)"
    return {
        "timings/video": of_times([_seconds(lambda: generate.generate(pipe, spec)) for _ in range(repeats)]),
        "timings/first video": of_times([_seconds(lambda: study.in_new_python(first, model)) for _ in range(repeats)]),
        "timings/import": of_times([float(study.in_new_python(inside)) for _ in range(repeats)]),
    }


def measure_temporal(pipe, seeds: int, steps: int = 12) -> dict[str, Measure]:
    """Flicker and the action read, for the same seeds with temporal layers on, off, and each kind alone."""
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


# --- what is measured


@dataclass(frozen=True)
class Count:
    """How many things a part measures: the name of its option, its default, the one of --quick, and what they are."""

    name: str
    full: int
    quick: int
    what: str

    @property
    def word(self) -> str:
        """The option: --held-out."""
        return f"--{self.name.replace('_', '-')}"


@dataclass(frozen=True)
class Part:
    """A part of the benchmark.

    measure(pipe, options): (measures by name, right answers by word). bars: name -> bar of what is reported. count: the
    option that says how many. weights(model): the hash of what is measured.
    """

    measure: Callable[[Any, argparse.Namespace], tuple[dict[str, Measure], dict]]
    bars: dict[str, Bar]
    count: Count | None = None
    weights: Callable[[str], str] = loading.weights_of


PARTS = {
    "judge": Part(
        measure=lambda pipe, options: (measure_judge(options.renders), {}),
        bars={
            f"judge/{way}": Bar(f"judge on fresh renders, {way}: weakest label", "%", 0.99)
            for way in metrics.DISTURBANCES
        },
        count=Count("renders", 1000, 200, "fresh renders for the judge, for each disturbance"),
        weights=lambda model: files.sha256(judges.WEIGHTS),
    ),
    "vae": Part(
        measure=lambda pipe, options: (measure_vae(pipe.vae, options.clips), {}),
        bars={"vae/psnr": Bar("VAE on fresh renders: PSNR", "dB", 25, 29)}
        | {f"vae/{x}": Bar(f"judge on reconstructions: {x}", "%", 0.97, 0.99) for x in metrics.LABELS},
        count=Count("clips", 256, 32, "fresh renders for the VAE"),
    ),
    "grammar": Part(
        measure=lambda pipe, options: measure_prompts(pipe, options.prompts, "all", options.batch),
        bars={
            **{f"grammar/{x}": Bar(f"prompts from the grammar: {x}", "%", *GRAMMAR[x]) for x in GRAMMAR},
            "grammar/control": Bar("shuffled captions, the control: all four", "%", 0.02, below=True),
            "grammar/sharpness": Bar("sharpness of the subject, against renders", "x", 0.5, 0.9),
        },
        count=Count("prompts", 512, 32, "sentences from the grammar"),
    ),
    "held_out": Part(
        measure=lambda pipe, options: measure_prompts(pipe, options.held_out, "held_out", options.batch),
        bars={"held_out/all four": Bar("held-out combinations: all four", "%", 0.60, 0.85)},
        count=Count("held_out", 128, 16, "sentences of held-out combinations"),
    ),
    "timings": Part(
        measure=lambda pipe, options: (measure_timings(pipe, options.model), {}),
        bars={
            "timings/video": Bar("a video of 16 frames in 25 steps", "s", 8, below=True),
            "timings/first video": Bar("first video, from the start of Python", "s", 15, below=True),
            "timings/import": Bar("import t2v_helpers", "s", 0.1, below=True),
        },
    ),
    "unet": Part(
        measure=lambda pipe, options: (unet_speed.measure_unet(pipe.unet), {}),
        bars=unet_speed.BARS,
    ),
    "temporal": Part(
        measure=lambda pipe, options: (measure_temporal(pipe, options.seeds), {}),
        bars={"temporal/drawings/flicker": Bar("flicker of drawings of those prompts", "%")}
        | {f"temporal/{way}/flicker": Bar(f"flicker, temporal layers {way}", "%") for way in TEMPORAL}
        | {f"temporal/{way}/action": Bar(f"action as asked, temporal layers {way}", "%") for way in TEMPORAL},
        count=Count("seeds", 32, 4, "videos of each variant of the temporal layers"),
    ),
}


def counts() -> list[Count]:
    """The counts of all parts."""
    return [part.count for part in PARTS.values() if part.count]


# --- what is done with it


def run(options: argparse.Namespace) -> dict[str, dict]:
    """The parts in `options.only`: command, weights, machine, measures and words of each, ready for JSON."""
    pipe = study.cartoon_pipeline(options.model)  # the judge does not need it, but a wrong name is refused at once
    hashes = {part: PARTS[part].weights(options.model) for part in options.only}
    results = {}
    for part in options.only:
        measures, words = PARTS[part].measure(pipe, options)
        results[part] = {
            "command": command(part, options),
            "weights": hashes[part],
            "machine": machine(),
            "measures": {name: asdict(m) for name, m in measures.items()},
            "words": words,
        }
    return results


def machine() -> str:
    """This machine: processor, threads, and the versions of Python and torch."""
    seen = doctor.look()
    return f"{seen.cpu}, {in_threads(seen.threads)}, Python {seen.python}, torch {torch.__version__}"


def command(part: str, options: argparse.Namespace) -> str:
    """The command that measures `part` again."""
    counted = PARTS[part].count
    given = f" {counted.word} {getattr(options, counted.name)}" if counted else ""
    return f"t2v bench --model {options.model} --only {part}{given}"


def recorded(part: str) -> dict[str, Measure]:
    """The committed measures of a part; {} if it was not measured yet."""
    return {name: Measure(**m) for name, m in _stored(FOLDER).get(part, {"measures": {}})["measures"].items()}


def missed(results: dict) -> list[str]:
    """The bars that these results do not reach."""
    return [bar.what for bar, m in _measured(results) if not bar.reached(m.value)]


def table(results: dict) -> str:
    """Every bar that was measured, as a Markdown table."""
    if not results:
        return "Not measured yet: run `make bench`."
    head = ["what", "measured", "95 % interval", "n", "bar", "aim", ""]
    return tables.markdown(head, (bar.cells(m) for bar, m in _measured(results)))


def word_table(results: dict) -> str:
    """How often each word was read right, of how often it was asked, as a Markdown table."""
    rows = [
        (part, label, ", ".join(f"{w} {k}/{n}" for w, (k, n) in counts.items()))
        for part, found in results.items()
        for label, counts in found["words"].items()
    ]
    return tables.markdown(["prompts", "label", "right of asked"], rows)


def page(results: dict) -> str:
    """benchmarks/README.md: the tables, and the command and the machine of each part."""
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
    """The size of the grammar and the held-out share, as a Markdown table."""
    everything = cartoon.combinations()
    held = sum(map(cartoon.is_held_out, everything))
    rows = {x: ", ".join(words) for x, words in judges.CLASSES.items()}
    rows["combinations"] = f"{len(everything)}, of which {held} ({held / len(everything):.1%}) are held out"
    rows["vocabulary"] = f"{len(cartoon.vocabulary())} words"
    rows["a clip"] = f"{cartoon.SIZE} x {cartoon.SIZE} pixels, {video.FPS} frames a second"
    return tables.markdown(["what", ""], rows.items())


def filled(card: str, results: dict) -> str:
    """The text of a card with each block between `<!-- NAME -->` and `<!-- end -->` regenerated."""
    made = {"bench": table(results), "held out": held_out_list(), "world": world_facts()}
    for name, text in made.items():
        block = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        card = block.sub(lambda found, text=text: found[1] + text + found[2], card)
    return card


def write(results: dict, folder: Path) -> None:
    """Write results.json and README.md into `folder`, keeping parts not measured now, and the numbers in CARDS."""
    both = _stored(folder) | results
    merged = {part: both[part] for part in PARTS if part in both}
    files.write_text(folder / "results.json", json.dumps(merged, indent=2) + "\n")
    files.write_text(folder / "README.md", page(merged))
    for card in CARDS:
        files.write_text(card, filled(card.read_text(encoding="utf-8"), merged))


def main(argv: list[str] | None = None) -> int:
    """Measure and print; write the files if no count was lowered. Exit status 1 if a bar is missed."""
    as_written = argparse.RawDescriptionHelpFormatter
    p = add_options(arguments.Parser(prog="t2v bench", description=__doc__, formatter_class=as_written))
    options = p.parse_args(argv)
    if options.quick:
        p.set_defaults(**{counted.name: counted.quick for counted in counts()})
        options = p.parse_args(argv)
    results = run(options)
    print(json.dumps(results, indent=2) if options.json else f"{table(results)}\n\n{word_table(results)}")
    if is_full(options):
        write(results, FOLDER)
    for what in missed(results):
        print(f"below the bar: {what}", file=sys.stderr)
    return 1 if missed(results) else 0


def is_full(options: argparse.Namespace) -> bool:
    """Whether the shipped model was measured, no count was lowered, and this is a checkout, which holds the files."""
    whole = all(getattr(options, counted.name) >= counted.full for counted in counts())
    return whole and options.model == "cartoon" and (FOLDER.parent / "pyproject.toml").exists()


def add_options(p: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The benchmark's options, added to a parser."""
    p.add_argument("--model", default="cartoon", help="cartoon, or a folder with a model of the cartoon world")
    for one in (*counts(), Count("batch", 8, 8, "videos made at once")):
        p.add_argument(one.word, type=arguments.whole(), default=one.full, help=f"{one.what} (%(default)s)")
    p.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="only these parts")
    p.add_argument("--quick", action="store_true", help="smaller default numbers, and wider intervals")
    p.add_argument("--json", action="store_true", help="print the results as JSON")
    return p


def _measured(results: dict) -> Iterator[tuple[Bar, Measure]]:
    found = {name: m for part in results.values() for name, m in part["measures"].items()}
    for part in PARTS.values():
        for name, bar in part.bars.items():
            if name in found:
                yield bar, Measure(**found[name])


def _stored(folder: Path) -> dict[str, dict]:
    path = folder / "results.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _chunks(things: list, size: int, what: str) -> Iterator[list]:
    for start in tqdm(range(0, len(things), size), desc=what, unit="batch"):
        yield things[start : start + size]


def _seconds(work: Callable) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
