"""What runs a method: seeds, the one training loop, inference, stages that are reused, runs that leave records."""
