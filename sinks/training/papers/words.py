"""What the papers say about a set in sentences: for the manifest's RAI terms, the card and the report alike.

Knows the manifest's facts (`dayone:` terms) and nothing of files; so all papers say the same.
"""

from __future__ import annotations

from typing import Any

#: What a set of each kind is for (see Task.kind).
_PURPOSE = {
    "classification": "training and comparing models that put rows into classes",
    "regression": "training and comparing models that predict numbers",
    "ranking": "training and comparing recommenders and rankers, also off-policy, by the propensities",
    "conversation": "fine-tuning and testing assistants that talk to users",
    "sequence": "training and comparing models of what comes next",
}
_GENERATORS = {
    "prior": "a behaviour computed from the personas' traits and the product's definition, without any data",
    "student": "a small model taught by language-model agents",
    "tutor": "language-model agents that used the product step by step",
    "twin": "a model fitted on the real data of the core",
    "people": "people who used the product",
}


def share_of_synthetic(shares: list[dict[str, Any]]) -> float:
    """Rows that were made up, as a share of all, from 0 to 1."""
    rows = sum(share["rows"] for share in shares)
    return sum(share["rows"] for share in shares if share["origin"] != "core") / rows if rows else 0.0


def origin(shares: list[dict[str, Any]]) -> str:
    """Where the rows come from."""
    rows = sum(share["rows"] for share in shares)
    told = [
        f"{share['rows']:,} rows ({share['rows'] / rows:.1%}) by {share['generator']}, generation "
        f"{share['generation']}: {_GENERATORS.get(share['generator'], 'a generator without a description')}"
        for share in shares
    ]
    return f"{share_of_synthetic(shares):.1%} of the rows are synthetic. " + "; ".join(told) + "."


def purpose(task: str, kind: str, product: str) -> str:
    """What the set is for."""
    use = _PURPOSE.get(kind, "training and comparing models")
    return (
        f"{use[0].upper()}{use[1:]} for {product} (task {task}), before there are enough real users, and beside them "
        "afterwards. Not for conclusions about people."
    )


def gaps(shares: list[dict[str, Any]]) -> str:
    """What the set cannot tell."""
    said = [
        "Synthetic rows hold what personas, product definition and behaviour put into them: effects that nobody "
        "declared (seasons, campaigns, competitors, fashions, outages of others) are absent, and rare behaviour is as "
        "rare as was declared."
    ]
    if any(share["generator"] == "tutor" for share in shares):
        said.append("Language models act more purposefully and more alike than people do.")
    if share_of_synthetic(shares) == 1:
        said.append("There is no real row in it: figures measured on it say how models compare, not how good they are.")
    return " ".join(said)


def biases(shares: list[dict[str, Any]]) -> str:
    """In which direction the rows lean."""
    return (
        "The shares of personas, their tastes and devices are those of the pack, chosen by its authors. Slates have "
        "the position bias that the product declares. Over-sampled problems carry a weight that undoes it within a "
        "session."
    )


def personal_data(shares: list[dict[str, Any]], gates: list[dict[str, Any]]) -> str:
    """What of a person is in it."""
    scanned = any("personal" in str(gate.get("gate", gate.get("name", ""))) for gate in gates)
    looked = " Generated text was scanned for personal data before publishing; see the gates." if scanned else ""
    if share_of_synthetic(shares) == 1:
        return f"None of a real person: users, names of users and texts are made up.{looked}"
    return f"The rows of origin `core` come from real people and are personal data unless made anonymous.{looked}"


def license_of(publisher: dict[str, Any]) -> str:
    """The terms, as stated."""
    return str(publisher["license"])
