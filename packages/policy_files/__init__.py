"""`.nn` policy files: read, check and run them."""
