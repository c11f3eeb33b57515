# helpful word: in the place of
def read_with(table, tokens, learned, change):
    rows = table[tokens]
    for k, token in enumerate(learned):
        rows[tokens == token] = change[k]
    return rows
