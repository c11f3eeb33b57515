# helpful word: one step more
def steps_for(name, calls):
    return {"heun": calls // 2, "pndm": calls - 1}.get(name, calls)
