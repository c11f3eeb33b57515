# helpful word: Only these three answers count
def read_aloud(low, high, higher_is_better):
    if low <= 0 <= high:
        return "cannot tell"
    return "Better" if (low > 0) == higher_is_better else "Worse"
