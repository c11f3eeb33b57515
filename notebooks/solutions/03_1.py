def steps_for(name, calls):
    """The most steps for which a sampler calls the network at most `calls` times."""
    if name == "heun":
        return (calls + 1) // 2  # twice a step, once in the last: 2 n - 1 calls
    return calls - 1 if name == "pndm" else calls
