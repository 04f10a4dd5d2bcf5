"""Twins: fictional users drawn from a model fitted on a core, the real sessions that somebody supplied."""
