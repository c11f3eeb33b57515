def merged(w, a, b, alpha):
    """W + (alpha / r) B A for w [out in], a [r in], b [out r]."""
    return w + alpha / len(a) * b @ a  # [out in]
