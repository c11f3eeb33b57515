# helpful word: no layer is faster than the peak
def attainable(intensity, peak, bandwidth):
    return intensity * bandwidth
