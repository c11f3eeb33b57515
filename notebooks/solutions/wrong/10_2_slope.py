# helpful word: No layer is faster than the peak
def attainable(intensity, peak, bandwidth):
    return intensity * bandwidth
