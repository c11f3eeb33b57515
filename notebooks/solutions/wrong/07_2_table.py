# helpful word: whole table
def read_with(table, tokens, learned, change):
    moved = table.clone()
    moved[learned] += change
    return moved
