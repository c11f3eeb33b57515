# helpful word: moving takes longer
def attainable(intensity, peak, bandwidth):
    return peak
