# helpful word: very first call
def reuse(every, whole, last):
    calls, kept = 0, None

    def predict(x_t, t):
        nonlocal calls, kept
        calls += 1
        if calls % every == 1 or every == 1:
            noise, deep = whole(x_t, t)
            kept = deep if kept is None else kept
            return noise
        return last(x_t, t, kept)

    return predict
