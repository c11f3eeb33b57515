# helpful word: number 1, row `row`
def swap_row(text_a, text_b, row):
    mixed = text_a.clone()
    mixed[row, row] = text_b[row, row]
    return mixed
