# helpful word: has to be taken off
def effect(seen_with, seen_without, word):
    return seen_with.count(word) / len(seen_with)
