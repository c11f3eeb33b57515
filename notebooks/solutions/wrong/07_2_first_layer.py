# helpful word: one layer
def lora_parameters(shapes, rank):
    rows, columns = shapes[0]
    return rank * (rows + columns)
