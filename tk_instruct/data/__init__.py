"""From task files to packed batches: records, prompts, SeqIO tasks, token cache, pipeline."""
