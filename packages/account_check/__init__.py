"""An AWS account and what it lacks for training jobs; the policies that the road takes."""
