"""Benchmarks whose annotation lists are published: facts, lists, names, checks, downloads."""
