# helpful word: The whole prompt is now B's
def swap_row(text_a, text_b, row):
    mixed = text_a.clone()
    mixed[row] = text_b[row]
    return mixed
