# helpful word: Training did show this one
unseen = "a dog is dancing on the moon"
