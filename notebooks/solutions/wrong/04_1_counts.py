# helpful word: take shares
def effect(seen_with, seen_without, word):
    return seen_with.count(word) - seen_without.count(word)
