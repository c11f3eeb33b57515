# helpful word: yield the pipeline itself
from contextlib import contextmanager


@contextmanager
def borrowed(pipe, name, part):
    before = getattr(pipe, name)
    setattr(pipe, name, part)
    try:
        yield
    finally:
        setattr(pipe, name, before)
