"""The models that stand for a team's own: trained on one log, tested on another. Small, fast and the same for all."""
