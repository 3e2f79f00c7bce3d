"""Where an array's elements live, and what a worker sees of them."""
