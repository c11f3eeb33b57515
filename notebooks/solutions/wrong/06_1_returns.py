# helpful word: not `return`
from contextlib import contextmanager


@contextmanager
def borrowed(pipe, name, part):
    before = getattr(pipe, name)
    setattr(pipe, name, part)
    try:
        return pipe
    finally:
        setattr(pipe, name, before)
