# helpful word: round up
def price(steps, every, whole, last):
    full = steps // every
    return full * whole + (steps - full) * last
