"""Training: from what a method asks for to trained members, step by step, resumable."""
