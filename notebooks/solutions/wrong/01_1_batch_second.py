# helpful word: as if it were (f b)
def as_sequences(x, batch):
    return x.unflatten(0, (-1, batch)).permute(1, 3, 4, 0, 2).flatten(0, 2)
