# helpful word: a NaN
def first_apart(right, wrong):
    for name, x in right.items():
        if x.shape != wrong[name].shape:
            return name
        if (x.float() - wrong[name].float()).abs().max() > 1e-3 * x.float().abs().max():
            return name
