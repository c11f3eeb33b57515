"""Import large libraries in less time."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quickly() -> Iterator[None]:
    """Python does not look for garbage inside the `with`, and goes on as before afterwards, also after an error.

    A library makes hundreds of thousands of objects that stay. To look through them again and again as they grow more
    is a sixth of the time that the libraries of a pipeline take to import, and next to nothing is ever found.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
