"""Code in keys: what decides a number, found in the sources."""
