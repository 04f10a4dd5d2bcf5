"""How much noise a promise takes: zero-concentrated differential privacy (zCDP), spent in shares.

Gaussian noise of standard deviation s on what a user changes by at most C (in the Euclidean norm) costs
rho = C² / (2 s²); costs add up; and rho in all gives (rho + 2 sqrt(rho ln(1 / delta)), delta)-differential privacy.
Source: Bun and Steinke 2016, Concentrated Differential Privacy, propositions 1.6, 1.7 (composition) and 1.3.
Names are released by a threshold on noisy counts of users: Korolova, Kenthapadi, Mishra, Ntoulas 2009; with Gaussian
noise: Wilson et al. 2020, Differentially Private SQL with Bounded User Contribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist


def rho_for(epsilon: float, delta: float) -> float:
    """The largest rho for which rho-zCDP implies (epsilon, delta)-differential privacy."""
    log = math.log(1.0 / delta)
    return (math.sqrt(log + epsilon) - math.sqrt(log)) ** 2


def epsilon_of(rho: float, delta: float) -> float:
    """What rho-zCDP promises at this delta."""
    return rho + 2.0 * math.sqrt(rho * math.log(1.0 / delta))


@dataclass(frozen=True)
class Budget:
    """What may be spent: `rho` on noise, `delta` on names that pass the threshold though only one user has them."""

    rho: float
    delta: float

    @classmethod
    def of(cls, epsilon: float, delta: float) -> Budget:
        """Half of delta for the noise, half for the names."""
        return cls(rho_for(epsilon, delta / 2), delta / 2)

    def sigma(self, share: float, bound: float) -> float:
        """The standard deviation of the noise on a histogram that gets this share of rho, and that a user changes by at
        most `bound` in the Euclidean norm."""
        return bound / math.sqrt(2.0 * self.rho * share)

    def threshold(self, sigma: float, names: int) -> float:
        """Above which noisy number of users a name is kept, where a user has at most so many names: that of one user
        alone passes with a chance of delta / names."""
        return 1.0 + sigma * -NormalDist().inv_cdf(self.delta / names)
