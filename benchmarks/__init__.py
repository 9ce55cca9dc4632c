"""Measurements of what hpo itself costs: ``python -m benchmarks.NAME`` prints ratios measured in one run."""
