# helpful word: A alone
def lora_parameters(shapes, rank):
    return sum(rank * columns for rows, columns in shapes)
