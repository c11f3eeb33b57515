"""Text to video, taught from nothing: the helpers behind the notebooks.

One rule: a line may know one of four things: files and notebooks, a model library, the mathematics, or the machine.
Floors are numbered, and an import goes down at least one floor, never sideways, never up (tests/test_floors.py):

    floor 0  ground           layout seeding files machine gpus checkpoints noise arguments losses allocations
    floor 0  words            byte_pairs
    floor 1  the machine      environment rocm memory hub pipeline folders
    floor 1  mathematics      records muon grids video cartoon tracing unet measures shortcuts
    floor 2  one guest each   models samplers schedulers metrics display training temporal words dataset pages diagrams
    floor 2  looks            attention
    floor 3  verbs            generate checks recipe judging speed tables contrastive distilling trials
    floor 2  new words        newword
    floor 3  wholeness        segmenting
    floor 3  few steps        student
    floor 3  new words        lora tuning
    floor 3  swaps            swapping
    floor 4  roof             cli course bench playground figures costs train sweep comparison knobs ledger dry_run
    floor 4  new words        teaching
    floor 4  prompts          knowledge
    floor 4  speed            acceleration
    floor 5  the whole run    tolerances

Importing the package itself takes milliseconds: it loads neither torch nor diffusers.
"""

__version__ = "0.1.0"
