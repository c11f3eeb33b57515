def read_with(table, tokens, learned, change):
    """Rows of table [v d] for tokens [t]; those of learned tokens moved by change [n d]."""
    rows = table[tokens]  # a copy, [t d]
    for k, token in enumerate(learned):
        rows[tokens == token] += change[k]
    return rows
