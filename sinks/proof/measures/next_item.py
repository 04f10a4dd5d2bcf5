"""How well a recommender that learned from the synthetic log finds what real users turn to next."""

from __future__ import annotations

from typing import ClassVar

from sinks.proof.evidence import NO_NEXT_ITEM, SAME_ITEMS, Evidence
from sinks.proof.measures.shared import skilled
from sinks.proof.metric import Figure, Goal, Group


class NextItemHits:
    """Skill in HitRate@20 over all next items."""

    name: ClassVar[str] = "next_item_hits"
    group: ClassVar[Group] = "utility"
    title: ClassVar[str] = "Next item: among 20 recommended (HitRate@20)"
    goal: ClassVar[Goal] = "higher"
    range: ClassVar[tuple[float | None, float | None]] = (None, None)
    unit: ClassVar[str] = "skill"
    source: ClassVar[str] = "TSTR: arXiv:1706.02633; sequential rules: Ludewig, Jannach 2018, arXiv:1803.09587"
    needs_holdout: ClassVar[bool] = True
    only_new: ClassVar[bool] = False
    which: ClassVar[int] = 0

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        found = evidence.next_item(only_new=self.only_new)
        if found is None:
            return NO_NEXT_ITEM if evidence.items_differ else SAME_ITEMS
        return skilled(evidence, found[self.which])


class NextItemRank(NextItemHits):
    """Skill in MRR@20 over all next items."""

    name: ClassVar[str] = "next_item_rank"
    title: ClassVar[str] = "Next item: how high among 20 recommended (MRR@20)"
    which: ClassVar[int] = 1


class NewItemHits(NextItemHits):
    """Skill in HitRate@20 over next items that are new to the session."""

    name: ClassVar[str] = "new_item_hits"
    title: ClassVar[str] = "Next item that is new to the session: among 20 recommended (HitRate@20)"
    only_new: ClassVar[bool] = True


class NewItemRank(NewItemHits):
    """Skill in MRR@20 over next items that are new to the session."""

    name: ClassVar[str] = "new_item_rank"
    title: ClassVar[str] = "Next item that is new to the session: how high among 20 recommended (MRR@20)"
    which: ClassVar[int] = 1
