# helpful word: larger of the two
def attainable(intensity, peak, bandwidth):
    return max(peak, intensity * bandwidth)
