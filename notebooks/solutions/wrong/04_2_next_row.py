# helpful word: row `row` must be text_b's
def swap_row(text_a, text_b, row):
    mixed = text_a.clone()
    mixed[1, row + 1] = text_b[1, row + 1]
    return mixed
