"""Who takes part, who waits for whom: policy over native lock words and kernel objects."""
