# helpful word: You kept the noise
def reuse(every, whole, last):
    calls, noise = 0, None

    def predict(x_t, t):
        nonlocal calls, noise
        if calls % every == 0:
            noise, _ = whole(x_t, t)
        calls += 1
        return noise

    return predict
