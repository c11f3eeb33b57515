# helpful word: row of its own
def read_with(table, tokens, learned, change):
    rows = table[tokens]
    for token in learned:
        rows[tokens == token] += change[0]
    return rows
