def read_aloud(low, high, higher_is_better):
    """What the interval of a change, new minus old, says."""
    if low <= 0 <= high:
        return "cannot tell"
    return "better" if (low > 0) == higher_is_better else "worse"
