"""What training data has in common with evaluation data."""
