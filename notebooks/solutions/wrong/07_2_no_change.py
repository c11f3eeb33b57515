# helpful word: nothing of what was learned
def read_with(table, tokens, learned, change):
    return table[tokens]
