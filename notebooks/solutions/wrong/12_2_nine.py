# helpful word: none is wrong. Video 10
answers = {
    1: "scaled twice",
    2: "axes folded wrong",
    3: "prompt cut off",
    4: "BGR",
    5: "guidance twice",
    6: "layers along time off",
    7: "betas of another model",
    8: "prompts exchanged",
    9: "wrong rate",
}
