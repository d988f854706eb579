"""A `.nn` policy file: read it, check it, decide with it."""
