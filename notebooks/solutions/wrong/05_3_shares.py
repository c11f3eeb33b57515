# helpful word: difference of the two shares
def mcnemar(a, b):
    return sum(a) / len(a) - sum(b) / len(b)
