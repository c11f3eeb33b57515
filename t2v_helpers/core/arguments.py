"""What all command lines of the course share: one sentence for a bad option, types of values, common options."""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

SHARED = {  # option -> its settings
    "device": {"default": "auto", "help": "auto, cpu, cuda (also for ROCm) or cuda:1"},
    "dtype": {"default": "auto", "help": "auto, float32, float16 or bfloat16"},
    "offline": {"action": "store_true", "default": None, "help": "download nothing"},
    "json": {"action": "store_true", "help": "print the result as JSON"},
}


LONGEST = 1000  # characters of a message


def brief(text: str) -> str:
    """`text` in one line that any terminal can print, its middle left out where it is long."""
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line and accepts no abbreviated options."""

    def __init__(self, **settings):
        super().__init__(**{"allow_abbrev": False} | settings)

    def parse_known_args(self, args=None, namespace=None):
        """As argparse does; the words are kept for `error`."""
        self.words = args or ()
        return super().parse_known_args(args, namespace)

    def error(self, message: str):
        """Print one sentence and exit with status 2."""
        known = self._option_string_actions
        dashed = [word for word in self.words if word.startswith("-") and word.split("=")[0] not in known]
        if "are required: prompt" in message and dashed:
            message += f'; if {dashed[0]} is what to show, write it last: -- "{dashed[0]}"'
        self.exit(2, f"{self.prog}: {brief(message)} (`{self.prog} --help` says more)\n")


def add(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add some of the SHARED options, by name."""
    for name in names:
        parser.add_argument(f"--{name}", **SHARED[name])


def add_spec(parser: argparse.ArgumentParser, schedulers: Iterable[str], **settings) -> None:
    """Add an option for each field of a GenerationSpec but prompt and seed; one that is not given stays unset."""
    for name, kind, words in (
        ("negative-prompt", str, "what not to show (nothing)"),
        ("scheduler", str, f"of {', '.join(schedulers)} (dpm++)"),
        ("steps", int, "more steps, more time: from 1 to 1000 (25)"),
        ("guidance", float, "how closely to follow the words: 1 to 100 (the model's)"),
        ("frames", int, "from 1 to 200 (16)"),
        ("height", int, "pixels, a multiple of 16 for the cartoon, up to 1024 (the model's own)"),
        ("width", int, "pixels, as for the height (the model's own)"),
    ):
        parser.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS, help=words, **settings)


def path(text: str) -> Path:
    """A file or a folder. ArgumentTypeError: an empty name, which would mean the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not a name: give one, or leave the option out")
    return Path(text)


def whole(most: int | None = None, least: int = 1) -> Callable[[str], int]:
    """A type of option: whole numbers from `least` to `most`, if given. ArgumentTypeError: anything else."""
    allowed = f"a whole number from {least} to {most:,}" if most else f"a whole number, at least {least}"

    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= (most or int(text)):
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed: give {allowed}")
        return int(text)

    return number
