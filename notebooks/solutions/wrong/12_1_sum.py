# helpful word: a sum cancels
def first_apart(right, wrong):
    for name, x in right.items():
        if (x.double() - wrong[name].double()).sum().abs() > 0.1:
            return name
