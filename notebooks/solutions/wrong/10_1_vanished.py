# helpful word: does not vanish
def amdahl(share, times):
    return 1 / (1 - share)
