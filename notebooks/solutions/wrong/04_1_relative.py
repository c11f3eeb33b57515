# helpful word: the difference alone
def effect(seen_with, seen_without, word):
    share, base = (seen.count(word) / len(seen) for seen in (seen_with, seen_without))
    return (share - base) / base
