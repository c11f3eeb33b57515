# helpful word: the very same one
import copy
from contextlib import contextmanager


@contextmanager
def borrowed(pipe, name, part):
    before = copy.deepcopy(getattr(pipe, name))
    setattr(pipe, name, part)
    try:
        yield pipe
    finally:
        setattr(pipe, name, before)
