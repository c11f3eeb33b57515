# helpful word: came along
def swap_row(text_a, text_b, row):
    mixed = text_a.clone()
    mixed[1, row:] = text_b[1, row:]
    return mixed
