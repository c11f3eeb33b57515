# helpful word: text_a.clone()
def swap_row(text_a, text_b, row):
    text_a[1, row] = text_b[1, row]
    return text_a
