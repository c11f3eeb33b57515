# helpful word: return predict
def reuse(every, whole, last):
    noise, deep = whole(0.0, 0)
    return last(0.0, 0, deep)
