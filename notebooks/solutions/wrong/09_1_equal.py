# helpful word: does not show that both are equal
def read_aloud(low, high, higher_is_better):
    if low <= 0 <= high:
        return "equal"
    return "better" if (low > 0) == higher_is_better else "worse"
