"""What `make` runs: the tutorial, its pages, the benchmarks."""
