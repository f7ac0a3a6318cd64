"""From tasks to packed batches: registry, vocabulary, token cache, packing, pipeline."""
