# helpful word: still compute the last layer
def price(steps, every, whole, last):
    return -(-steps // every) * whole
