# helpful word: did you mean 'scaled twice'?
answers = {1: "scaled twise"}
