# helpful word: *before* the new one goes in
from contextlib import contextmanager


@contextmanager
def borrowed(pipe, name, part):
    setattr(pipe, name, part)
    before = getattr(pipe, name)
    try:
        yield pipe
    finally:
        setattr(pipe, name, before)
