"""A Unity build and its trainer files on disk: what is in them, and what is wrong."""
