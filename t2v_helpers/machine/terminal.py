"""What a command does to its terminal: its two streams, SIGTERM, and warnings. Standard library alone."""

import io
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from t2v_helpers.core import arguments


def wrap() -> None:
    """Make of stdout a Printer and of stderr a Bystander, once."""
    sys.stdout, sys.stderr = _printer(sys.stdout, Printer), _printer(sys.stderr, Bystander)


class Printer:
    """stdout, whose errors say that it was printing that failed: nobody shall believe the command's files lost."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def __getattr__(self, name: str):
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write as the stream does. OSError: it cannot be printed; BrokenPipeError as it is."""
        return self._or_fail(self.stream.write, text)

    def flush(self) -> None:
        """Flush the stream. Errors: see `write`."""
        self._or_fail(self.stream.flush)

    def _or_fail(self, call: Callable, *words: str):
        try:
            return call(*words)
        except BrokenPipeError:
            raise
        except OSError as error:
            what = f"the output cannot be printed ({error.strerror or error}), but each file that was written is kept"
            raise OSError(f"{what}: print to another place.") from error


class Bystander(Printer):
    """stderr: a bar, a warning or a last sentence that cannot be shown ends no run."""

    def _or_fail(self, call: Callable, *words: str):
        with suppress(OSError):
            return call(*words)


def _printer(stream: TextIO | None, kind: type[Printer]) -> TextIO | Printer | None:
    """The stream as `kind`, once; None where it is closed, and what is not the system's, as it is."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.reconfigure(errors="backslashreplace")  # a terminal of ASCII alone is no reason to fail at the end
    return kind(stream)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does: what is half written is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def warnings_in_a_line() -> Iterator[None]:
    """Each warning is shown once, and without the line of code that a reader of a terminal has no use for."""
    told = set()

    def show(message: Warning | str, *_, **__) -> None:
        if str(message) not in told:
            print(f"t2v: warning: {arguments.brief(str(message))}", file=sys.stderr)
        told.add(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of libraries, to who writes code
        warnings.showwarning = show
        yield
