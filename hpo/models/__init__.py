"""Fitted models: what they have learned, what they cost, and how they are stored and read back.

Start with :mod:`hpo.models.parameters` for what is learned, and :mod:`hpo.models.folder` for what is stored.
"""
