"""The study database in the browser: optuna-dashboard and the comparisons of one database, as one site."""
