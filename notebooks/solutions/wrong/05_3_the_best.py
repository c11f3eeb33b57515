# helpful word: the best value itself
def first_enough(values, measures):
    return max(zip(values, measures, strict=True), key=lambda pair: pair[1].value)[0]
