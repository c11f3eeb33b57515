# helpful word: Steps are whole
def price(steps, every, whole, last):
    return steps / every * whole + (steps - steps / every) * last
