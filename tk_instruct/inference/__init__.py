"""What answers: a checkpoint, a model of Hugging Face, a model of a server, or a heuristic.

`systems` says what `predict` and `rank` need of each, and opens the one that the flags name.
"""
