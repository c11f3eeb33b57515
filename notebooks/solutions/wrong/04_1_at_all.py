# helpful word: How often it comes counts
def effect(seen_with, seen_without, word):
    return (word in seen_with) * 1.0 - (word in seen_without) * 1.0
