"""The public interface and its page, docs/reference.md: ``python -m ltbench.reference --write`` (or ``--check``)."""
