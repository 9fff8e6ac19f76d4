"""Records: what a run leaves behind, where they lie, what they say of their origin. No torch."""
