# helpful word: Keep the sign
def effect(seen_with, seen_without, word):
    return abs(seen_with.count(word) / len(seen_with)
               - seen_without.count(word) / len(seen_without))
