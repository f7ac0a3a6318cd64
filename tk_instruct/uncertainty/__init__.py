"""How far a score, or the difference of two scores, is from that of all that could be sampled."""
