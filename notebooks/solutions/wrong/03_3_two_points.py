# helpful word: the first and the last
import math


def order_of(calls, errors):
    return math.log(errors[0] / errors[-1]) / math.log(calls[-1] / calls[0])
