"""The loops of a worker: one file a loop. Each takes no input, does what is due, and is safe to run twice."""
