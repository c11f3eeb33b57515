# helpful word: heun in 10 steps calls the network 19 times
def steps_for(name, calls):
    return calls
