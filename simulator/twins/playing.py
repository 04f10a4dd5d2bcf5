"""A run of twins: which model plays it, and whether that fits the pack. What a simulation is handed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from personas.errors import TwinError
from personas.pack import Pack
from simulator.twins.artefact import Lineage, load

if TYPE_CHECKING:
    from personas.population import Population
    from personas.provenance import RunIdentity
    from simulator.behaviour.model import Behaviour
    from simulator.slates import Rankings
    from simulator.twins.model import TwinModel
    from simulator.twins.player import TwinEngine
    from simulator.world import World


@dataclass(frozen=True)
class Twins:
    """A model that plays the users of a run."""

    model: TwinModel
    lineage: Lineage

    @classmethod
    def load(cls, folder: Path, pack: Pack) -> Twins:
        """TwinError where there is no whole model, or it speaks of another product."""
        from simulator.twins.scripts import words_of

        model, lineage = load(folder)
        if lineage.pack is None:
            raise TwinError(
                f"{folder}: the model was fitted without a pack, so it has no product to be played in.",
                hint=f"Fit it with --pack {pack.product.name} or --new-pack DIR. A file can be drawn: dayone sample",
            )
        words_of(model, lineage.pack, pack)
        return cls(model, lineage)

    def engine(
        self, population: Population, world: World, behaviour: Behaviour, rankings: Rankings, identity: RunIdentity
    ) -> TwinEngine:
        """What plays the users of this population; they sign up with their twins' first sessions."""
        from simulator.twins.player import TwinEngine
        from simulator.twins.scripts import words_of, write_scripts

        assert self.lineage.pack is not None  # `load` saw to it
        words = words_of(self.model, self.lineage.pack, world.pack)
        scripts = write_scripts(self.model, words, population, identity.start, identity.seed)
        ours = replace(population, signed_up=scripts.signed_up(len(population)))
        return TwinEngine(ours, world, behaviour, rankings, scripts)
