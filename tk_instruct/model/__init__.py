"""The encoder-decoder model: sizes, layers, the stacks, decoding."""
