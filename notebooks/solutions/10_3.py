def price(steps, every, whole, last):
    """Seconds of all steps,
    if the first and every `every`-th one after it computes all layers."""
    full = -(-steps // every)  # rounded up
    return full * whole + (steps - full) * last
