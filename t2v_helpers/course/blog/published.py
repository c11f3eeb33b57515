"""What the blog did and said: its six videos, in its order, and its claims, as published.json has them."""

from dataclasses import dataclass

from t2v_helpers.core import files, paths


@dataclass(frozen=True)
class Run:
    """One video of the blog: the name and SHA-256 of its file, and what was asked."""

    file: str
    prompt: str
    scheduler: str
    sha256: str
    steps: int = 50
    frames: int = 20
    fps: int = 8


@dataclass(frozen=True)
class Claim:
    """A sentence of the blog, or what its text implies, and how it is tested."""

    name: str
    words: str
    test: str


_BLOG = files.read_json(paths.PACKAGE / "course" / "blog" / "published.json")
SETUP = _BLOG["setup"]  # what the blog says, or leaves at the defaults of its day
RUNS = tuple(Run(**run) for run in _BLOG["runs"])  # in the blog's order, which is the order of the draws
MONKEY, ROBOT, DOG = dict.fromkeys(run.prompt for run in RUNS)
CLAIMS = tuple(Claim(**claim) for claim in _BLOG["claims"])
