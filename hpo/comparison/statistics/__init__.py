"""The arithmetic of comparisons: values in, values out, each formula with its source."""
