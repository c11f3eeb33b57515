# helpful word: their times do not add up
def attainable(intensity, peak, bandwidth):
    return 1 / (1 / peak + 1 / (intensity * bandwidth))
