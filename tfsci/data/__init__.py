"""From a data spec to batches: sources, and the pipelines that cut them over shards."""
