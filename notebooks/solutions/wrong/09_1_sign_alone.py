# helpful word: the interval holds 0
def read_aloud(low, high, higher_is_better):
    return "better" if ((low + high) / 2 > 0) == higher_is_better else "worse"
