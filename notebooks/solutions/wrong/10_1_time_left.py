# helpful word: one over it
def amdahl(share, times):
    return (1 - share) + share / times
