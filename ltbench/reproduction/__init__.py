"""The paper's tables, figures and claims, measured again. What they are is data: ``paper.toml`` and ``paper_tables.json``.

``spec`` reads the data, ``jobs`` collects what must be run, ``collect`` runs it, ``outcomes`` and ``claims`` compute,
``document`` puts it together, ``markdown``, ``drawing`` and ``write`` print it.
"""
