# helpful word: Only the deep features are old
def reuse(every, whole, last):
    calls, deep, kept = 0, None, None

    def predict(x_t, t):
        nonlocal calls, deep, kept
        calls += 1
        if (calls - 1) % every == 0:
            noise, deep = whole(x_t, t)
            kept = x_t
            return noise
        return last(kept, t, deep)

    return predict
