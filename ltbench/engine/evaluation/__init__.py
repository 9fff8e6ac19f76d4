"""Evaluation: logits of members, posteriors of fusers, in a drawn order, looked at twice."""
