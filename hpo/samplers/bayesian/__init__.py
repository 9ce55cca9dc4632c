"""The sampler ``auto``: Bayesian optimization with a Gaussian process, made for the first hundred trials."""
