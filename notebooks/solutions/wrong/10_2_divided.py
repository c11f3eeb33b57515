# helpful word: do not divide
def attainable(intensity, peak, bandwidth):
    return min(peak, bandwidth / intensity)
