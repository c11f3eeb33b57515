# helpful word: The first call is a full one
def reuse(every, whole, last):
    calls, deep = 0, None

    def predict(x_t, t):
        nonlocal calls, deep
        calls += 1
        if deep is None or calls % (every + 1) == 0:
            noise, deep = whole(x_t, t)
            return noise
        return last(x_t, t, deep)

    return predict
