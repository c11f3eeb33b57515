# helpful word: channels that belong together correlate
def find_order(z, other):
    ranks = other.std(dim=0).argsort().argsort()
    return z.std(dim=0).argsort()[ranks].tolist()
