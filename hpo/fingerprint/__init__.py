"""What decides a score, as one hash that is the same in every process: values, data, source code and libraries."""
