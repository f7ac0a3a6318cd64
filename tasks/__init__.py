"""Declarations: which SeqIO tasks and mixtures exist. Importing a module declares its tasks."""
