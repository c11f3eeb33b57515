# helpful word: 8 of 10 are right. Video 1 is not
answers = {
    1: "axes folded wrong",
    2: "scaled twice",
    3: "prompt cut off",
    4: "BGR",
    5: "guidance twice",
    6: "layers along time off",
    7: "betas of another model",
    8: "prompts exchanged",
    9: "wrong rate",
    10: "tiles without overlap",
}
