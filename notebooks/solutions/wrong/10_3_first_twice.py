# helpful word: counted twice
def price(steps, every, whole, last):
    full = 1 + steps // every
    return full * whole + (steps - full) * last
