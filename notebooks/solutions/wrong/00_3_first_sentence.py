# helpful word: Find another one
unseen = "A Robot is dancing in the Times Square"
