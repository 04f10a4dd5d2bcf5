"""Stands before pandas in the path of programs that tests start, so that they run without it, as Dayone's users do.

pyarrow imports pandas as soon as it is asked to convert anything, which costs each process a third of a second. Dayone
does not need it, and its lock of what is needed to run does not have it.
"""

raise ImportError("left out: Dayone runs without pandas")
