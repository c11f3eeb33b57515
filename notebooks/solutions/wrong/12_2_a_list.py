# helpful word: a dict is wanted
answers = ["BGR", "scaled twice"]
