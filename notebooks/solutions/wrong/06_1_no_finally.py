# helpful word: runs in any case
from contextlib import contextmanager


@contextmanager
def borrowed(pipe, name, part):
    before = getattr(pipe, name)
    setattr(pipe, name, part)
    yield pipe
    setattr(pipe, name, before)
