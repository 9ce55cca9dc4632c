"""Figures: one description of what is drawn (`figure`), drawn by Plotly on pages and by matplotlib in files."""
