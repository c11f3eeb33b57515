# helpful word: swallow the error
from contextlib import contextmanager


@contextmanager
def borrowed(pipe, name, part):
    before = getattr(pipe, name)
    setattr(pipe, name, part)
    try:
        yield pipe
    except KeyError:
        pass
    setattr(pipe, name, before)
