from contextlib import contextmanager


@contextmanager
def borrowed(pipe, name, part):
    """The pipeline with another part inside the `with`, and as it was afterwards,
    also after an error."""
    before = getattr(pipe, name)
    setattr(pipe, name, part)
    try:
        yield pipe
    finally:
        setattr(pipe, name, before)
