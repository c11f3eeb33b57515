"""How many small faults do the tests catch? Sample some, put them into the code one by one, and run the room's tests.

    pip install cosmic-ray
    python tests/mutants.py --rooms diffusion inside core --each 30 --to mutants.jsonl
    python tests/mutants.py --again mutants.jsonl --to now.jsonl    # the same faults, wherever their lines stand now

The tests must pass before: nothing is known of a fault where they fail anyway.

A fault is one edit by one of cosmic-ray's operators: another comparison, another sign, a number off by one, a loop that
never runs. It is caught if a test of tests/<room>/test_<module>.py fails, or of tests/<room>/ where a module has no
tests of its own. Later it is found again by its function and the text of its line. The package is changed on disk
while this runs: use a clone that nobody else works in. It needs a POSIX system, since each run of the tests is a fork
that finds torch and diffusers already imported.
"""

import argparse
import gc
import json
import os
import random
import resource
from collections import defaultdict
from pathlib import Path

import parso
from cosmic_ray.ast import ast_nodes
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[1]
# These need arguments, or change nothing; `|` mostly joins types, and any other operator there is an error at import.
LEFT_OUT = ("VariableReplacer", "VariableInserter", "NoOp", "BitOr")
OPERATORS = [name for name in operator_names() if not any(word in name for word in LEFT_OUT)]
LIMIT = 300  # seconds of computing for one run: a fault that loops forever is caught


def faults(path: Path) -> list[dict]:
    """Every fault that the operators can put into one module, with what finds it again."""
    source = path.read_text()
    nodes, lines, found, seen = list(ast_nodes(parso.parse(source))), source.splitlines(), [], defaultdict(int)
    for name in OPERATORS:
        places = [(node, at) for node in nodes for at, _ in get_operator(name)().mutation_positions(node)]
        for occurrence, (node, at) in enumerate(places):
            key = (function(node), lines[at[0] - 1].strip(), name)
            found.append({"module": str(path.relative_to(ROOT)), "function": key[0], "line": key[1], "operator": name,
                          "nth": seen[key], "at": at, "occurrence": occurrence})  # fmt: skip
            seen[key] += 1
    return found


def function(node) -> str:
    """Class.method of the function around a node, "" at the top of a module."""
    names = []
    while node := node.parent:
        names += [node.name.value] if node.type in ("funcdef", "classdef") else []
    return ".".join(reversed(names))


def sample(room: str, n: int, seed: int = 0) -> list[dict]:
    """n places of a room at random, and one fault for each: a place that has many operators counts once."""
    places = defaultdict(list)
    for path in sorted((ROOT / "t2v_helpers" / room).glob("*.py")):
        for fault in faults(path):
            places[fault["module"], tuple(fault["at"])].append(fault)
    draw = random.Random(seed)
    return [draw.choice(places[key]) for key in draw.sample(sorted(places), min(n, len(places)))]


def again(old: list[dict]) -> list[dict]:
    """The same faults in today's code; one whose line is not there any more is left out."""
    key = ("function", "line", "operator", "nth")
    now, lines = {}, {fault["line"] for fault in old}
    for path in sorted((ROOT / "t2v_helpers").rglob("*.py")):
        if lines.isdisjoint(map(str.strip, path.read_text().splitlines())):
            continue
        now |= {tuple(fault[k] for k in key): fault for fault in faults(path)}
    return [now[tuple(fault[k] for k in key)] for fault in old if tuple(fault[k] for k in key) in now]


def caught(fault: dict) -> bool:
    """Whether the tests fail with the fault."""
    path = ROOT / fault["module"]
    source = path.read_text()
    mutant = mutate_code(source, get_operator(fault["operator"])(), fault["occurrence"])
    try:
        path.write_text(mutant)
        return not passes(tests(fault))
    finally:
        path.write_text(source)


def tests(fault: dict) -> tuple[str, ...]:
    """The files that are to catch a fault: the tests of its module, or of its room where the module has none."""
    room, module = Path(fault["module"]).parts[1], Path(fault["module"]).stem
    own = ROOT / "tests" / room / f"test_{module}.py"
    return tuple(map(str, [own] if own.is_file() else sorted(own.parent.glob("test_*.py"))))


def passes(files: tuple[str, ...]) -> bool:
    """Whether these tests pass, in a process of their own."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1), os.dup2(sink, 2)
        import pytest

        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *files])))
    return os.waitpid(child, 0)[1] == 0


def preload() -> None:
    """Import what takes seconds, so that the forks find it there; nothing of the package itself."""
    import cv2, hypothesis, imageio_ffmpeg, matplotlib.pyplot, nbval.plugin, peft, pytest, scipy.stats  # noqa
    import diffusers
    from diffusers import AutoencoderKL, AutoencoderTiny, TextToVideoSDPipeline, UNet3DConditionModel  # noqa
    from transformers import CLIPTextModel, CLIPTokenizer  # noqa

    for name in filter(lambda name: name.endswith("Scheduler"), dir(diffusers)):
        getattr(diffusers, name, None)
    gc.freeze()  # a fork need not look through all of that again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", nargs="+", default=["diffusion", "inside", "core"])
    parser.add_argument("--each", type=int, default=30, help="faults for each room")
    parser.add_argument("--again", type=Path, help="a file of an earlier run")
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    preload()
    if args.again:
        old = [json.loads(line) for line in args.again.read_text().splitlines()]
        chosen = again(old)
        print(f"{len(chosen)} of {len(old)} faults are still possible.")
    else:
        chosen = [fault for room in args.rooms for fault in sample(room, args.each)]
    counts = defaultdict(list)
    with args.to.open("w") as file:
        for fault in chosen:
            fault["caught"] = caught(fault)
            counts[Path(fault["module"]).parts[1]].append(fault["caught"])
            print(json.dumps(fault), file=file, flush=True)
    for room, results in counts.items():
        print(f"{room}: {sum(results)} of {len(results)} caught")


if __name__ == "__main__":
    main()
