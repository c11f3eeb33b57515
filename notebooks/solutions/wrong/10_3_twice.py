# helpful word: do not pay it twice
def price(steps, every, whole, last):
    return -(-steps // every) * whole + steps * last
