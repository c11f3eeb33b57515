# helpful word: holds 0
def read_aloud(low, high, higher_is_better):
    if low * high < 0:
        return "cannot tell"
    return "better" if (low >= 0) == higher_is_better else "worse"
