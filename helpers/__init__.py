"""What the notebooks share: one module for each stop on the road from a Unity build to a reward curve."""
