# helpful word: counts W, too
def lora_parameters(shapes, rank):
    return sum(rows * columns + rank * (rows + columns) for rows, columns in shapes)
