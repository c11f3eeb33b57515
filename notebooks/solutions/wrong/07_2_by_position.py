# helpful word: wherever it stands
def read_with(table, tokens, learned, change):
    rows = table[tokens]
    rows[: len(learned)] += change
    return rows
