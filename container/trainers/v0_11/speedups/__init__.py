"""What makes ML-Agents 0.11.0 faster, one module for each speedup; `speedups` applies them."""
