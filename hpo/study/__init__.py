"""What is tuned: hyperparameters and their space, splits, metrics, and the definition that holds them together.

Start with :mod:`hpo.study.definition`. A definition is a plain value: it knows neither Optuna nor the database.
"""
