"""What all command lines of the course share: one sentence for a bad option, and types of values."""

import argparse
from collections.abc import Callable
from pathlib import Path


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line and accepts no abbreviated options."""

    def __init__(self, **settings):
        super().__init__(**{"allow_abbrev": False} | settings)

    def error(self, message: str):
        """Print one sentence and exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (`{self.prog} --help` says more)\n")


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
