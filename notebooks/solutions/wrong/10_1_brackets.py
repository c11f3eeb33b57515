# helpful word: one over the whole sum
def amdahl(share, times):
    return 1 / (1 - share) + share / times
