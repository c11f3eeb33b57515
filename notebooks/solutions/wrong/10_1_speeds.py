# helpful word: Add up times
def amdahl(share, times):
    return (1 - share) + share * times
