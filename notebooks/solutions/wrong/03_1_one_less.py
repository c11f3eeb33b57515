# helpful word: pays twice for its first
def steps_for(name, calls):
    return {"heun": (calls + 1) // 2, "pndm": calls - 2}.get(name, calls)
