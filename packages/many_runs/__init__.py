"""Many training jobs as one: launch, follow, compare and tune them."""
