# helpful word: its length counts squared
def attention_flops(frames, pixels, channels):
    return 4 * pixels * frames * channels, 4 * frames * pixels * channels
