# helpful word: every token
def read_with(table, tokens, learned, change):
    return table[tokens] + change.sum(0)
