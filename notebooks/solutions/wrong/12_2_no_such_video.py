# helpful word: the numbers are 1 to 10
answers = {0: "BGR"}
