def effect(seen_with, seen_without, word):
    """How much more often the word's label is read when the word is said: -1 to 1."""
    with_it, without_it = (seen.count(word) / len(seen)
                           for seen in (seen_with, seen_without))
    return with_it - without_it
