"""Proofs need scikit-learn, which is an extra. Says so where it is missing."""

from __future__ import annotations

from importlib.util import find_spec

from personas.errors import ProofError


def needed() -> None:
    """ProofError where scikit-learn is not installed."""
    if find_spec("sklearn") is None:
        raise ProofError(
            "A proof trains models, and scikit-learn is not installed.", hint="Install it: pip install 'dayone[proof]'"
        )
