# helpful word: last layer alone
def lora_parameters(shapes, rank):
    for rows, columns in shapes:
        count = rank * (rows + columns)
    return count
