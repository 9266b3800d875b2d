"""Job scripts: a training script, so many nodes and a scheduler in, a text for the queue out."""
