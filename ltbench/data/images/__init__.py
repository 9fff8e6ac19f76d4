"""Datasets of image files: lists, decoding, packed copies, content and what cannot be read."""
