"""Side-by-side measurements: every figure beside the floor it is a ratio of, both taken in the same run."""
