# helpful word: are exchanged
def amdahl(share, times):
    return 1 / (share + (1 - share) / times)
