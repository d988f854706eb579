"""What makes ML-Agents 1.1.0 faster, one module for each speedup; `speedups` applies them."""
