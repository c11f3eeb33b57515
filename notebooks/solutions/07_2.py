def lora_parameters(shapes, rank):
    """How many numbers A and B hold, for layers of these shapes (out, in)."""
    return sum(rank * (rows + columns) for rows, columns in shapes)
