def attainable(intensity, peak, bandwidth):
    """The most operations a second at so many FLOP for each byte:
    computing and moving, whichever allows for less."""
    return min(peak, intensity * bandwidth)
