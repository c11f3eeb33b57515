def amdahl(share, times):
    """How many times faster the whole gets,
    if a `share` of its time gets `times` times faster."""
    return 1 / ((1 - share) + share / times)
