"""A study of one's own from a CSV file: the table is read, its columns are understood, and a script is written."""
