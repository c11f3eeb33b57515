# helpful word: Mind the direction
def read_aloud(low, high, higher_is_better):
    if low <= 0 <= high:
        return "cannot tell"
    return "better" if low > 0 else "worse"
