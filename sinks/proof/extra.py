"""Proofs need scikit-learn and SciPy, which are an extra. Says so where they are missing."""

from __future__ import annotations

from importlib.util import find_spec

from personas.errors import ProofError


def needed() -> None:
    """ProofError where scikit-learn or SciPy is not installed."""
    missing = [name for name in ("sklearn", "scipy") if find_spec(name) is None]
    if missing:
        raise ProofError(
            f"A proof trains models, and needs {' and '.join(missing)}, which are not installed.",
            hint="Install them: pip install 'dayone[proof]'",
        )
