# helpful word: use the name that is given
from contextlib import contextmanager


@contextmanager
def borrowed(pipe, name, part):
    before = pipe.vae
    pipe.vae = part
    try:
        yield pipe
    finally:
        pipe.vae = before
