# helpful word: with and without an error
from contextlib import contextmanager


@contextmanager
def borrowed(pipe, name, part):
    before = getattr(pipe, name)
    setattr(pipe, name, part)
    try:
        yield pipe
    except Exception:
        setattr(pipe, name, before)
        raise
