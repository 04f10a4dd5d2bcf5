"""What synthetic data is worth: measured against real data that no model has seen, with intervals, gates and a page.

logs = encode({"synthetic": table, "core": table, "holdout": table})   # Arrow tables, see log.py
evidence = Evidence(**logs)
all_metrics()["membership"].compute(evidence)                           # a Figure, or the reason why there is none
"""
