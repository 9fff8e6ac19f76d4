"""The machine of a run: device, processes, random streams, loading, progress."""
