# helpful word: Count the calls
def reuse(every, whole, last):
    calls = 0

    def predict(x_t, t):
        noise, deep = whole(x_t, t)
        return noise if calls % every == 0 else last(x_t, t, deep)

    return predict
