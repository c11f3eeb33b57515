# helpful word: swapped
def attention_flops(frames, pixels, channels):
    return 4 * frames * pixels**2 * channels, 4 * pixels * frames**2 * channels
