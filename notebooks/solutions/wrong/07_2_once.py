# helpful word: more than once
def read_with(table, tokens, learned, change):
    rows = table[tokens]
    for k, token in enumerate(learned):
        rows[tokens.tolist().index(token)] += change[k]
    return rows
