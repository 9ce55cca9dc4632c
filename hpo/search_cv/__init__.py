"""A drop-in for scikit-learn's searches: its fits, this package's samplers, and a study database behind them."""

from hpo.process.lazy import leading_to

__getattr__ = leading_to(__name__, {"SearchCV": "hpo.search_cv.search"})  # pickles ask for it here
