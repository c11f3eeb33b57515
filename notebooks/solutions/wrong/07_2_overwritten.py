# helpful word: the frozen table itself
def read_with(table, tokens, learned, change):
    for k, token in enumerate(learned):
        table[token] += change[k]
    return table[tokens]
