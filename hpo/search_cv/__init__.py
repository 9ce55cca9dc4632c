"""A drop-in for scikit-learn's searches: its fits, this package's samplers, and a study database behind them."""
