# helpful word: compare the shapes
def first_apart(right, wrong):
    for name, x in right.items():
        a, b = x.double(), wrong[name].double()
        if (a - b).abs().max() > 1e-3 * a.abs().max() or (a.isnan() != b.isnan()).any():
            return name
