# helpful word: inside of reuse
MEMORY = {}


def reuse(every, whole, last):
    def predict(x_t, t):
        calls = MEMORY.get(every, 0)
        MEMORY[every] = calls + 1
        if calls % every == 0:
            noise, MEMORY["deep"] = whole(x_t, t)
            return noise
        return last(x_t, t, MEMORY["deep"])

    return predict
