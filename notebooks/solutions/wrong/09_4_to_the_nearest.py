# helpful word: Round up
def videos_for(a, b):
    return round(((1.96 + 0.84) * (a - b).std(ddof=1) / (a - b).mean()) ** 2)
