"""What every command line of the course does alike: one sentence for a bad word, and the kinds of its values."""

import argparse
from collections.abc import Callable
from pathlib import Path


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, and takes no option by a part of its name."""

    def __init__(self, **settings):
        super().__init__(**{"allow_abbrev": False} | settings)

    def error(self, message: str):
        """Leave with one sentence and exit status 2."""
        self.exit(2, f"{self.prog}: {message} (`{self.prog} --help` says more)\n")


def path(text: str) -> Path:
    """A file or a folder. ArgumentTypeError: no name, which would mean the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is no name: give one, or leave the option out")
    return Path(text)


def check_suffix(out: Path, *allowed: str) -> None:
    """ValueError unless the file that --out names ends in one of `allowed`."""
    if out.suffix.lower() not in allowed:
        raise ValueError(f"--out {str(out)!r} does not end in {' or '.join(allowed)}: give the file that ending.")


def whole(most: int | None = None, least: int = 1) -> Callable[[str], int]:
    """A kind of value: whole numbers from `least`, to `most` where it is given. ArgumentTypeError: anything else."""
    allowed = f"a whole number from {least} to {most:,}" if most else f"a whole number, at least {least}"

    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= (most or int(text)):
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed: give {allowed}")
        return int(text)

    return number
