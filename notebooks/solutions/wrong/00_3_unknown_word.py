# helpful word: astronaut
unseen = "an astronaut is dancing on the moon"
