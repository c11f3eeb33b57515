# helpful word: stop at the *first* difference
def first_apart(right, wrong):
    found = None
    for name, x in right.items():
        a, b = x.float(), wrong[name].float()
        if a.shape != b.shape or (a - b).abs().max() > 1e-3 * a.abs().max():
            found = name
    return found
