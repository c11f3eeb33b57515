# helpful word: the sums that they weigh
def attention_flops(frames, pixels, channels):
    return 2 * pixels * frames**2 * channels, 2 * frames * pixels**2 * channels
