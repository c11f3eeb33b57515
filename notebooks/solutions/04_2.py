def swap_row(text_a, text_b, row):
    """Text vectors [2 t d] like text_a, with one row of the prompt from text_b."""
    mixed = text_a.clone()
    mixed[1, row] = text_b[1, row]
    return mixed
