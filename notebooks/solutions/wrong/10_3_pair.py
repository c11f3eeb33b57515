# helpful word: two things
def reuse(every, whole, last):
    calls, kept = 0, None

    def predict(x_t, t):
        nonlocal calls, kept
        if calls % every == 0:
            kept = whole(x_t, t)
        calls += 1
        return kept

    return predict
