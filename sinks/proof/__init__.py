"""What synthetic data is worth: measured against real data that no model has seen, with intervals, gates and a page."""
