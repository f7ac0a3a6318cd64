"""Generate instruction data with a language model (Self-Instruct, arXiv:2212.10560)."""
