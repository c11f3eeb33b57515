# helpful word: rank is missing
def lora_parameters(shapes, rank):
    return sum(rows + columns for rows, columns in shapes)
