"""Makes a pack of a log: product, catalogue and personas, written, checked, and there as a whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from personas.errors import PackError, TwinError
from personas.pack import Pack, load_pack
from personas.scaffold import product_name
from simulator.twins.artefact import PackNamed
from simulator.twins.log import I64, Log, log_of, table_of
from simulator.twins.new_pack.catalogue import infer_catalogue
from simulator.twins.new_pack.habits import kinds_of
from simulator.twins.new_pack.names import names_for
from simulator.twins.new_pack.people import adoption_of, intents_of, personas_of
from simulator.twins.new_pack.product import MOST_EVENTS, chain_of, never_first, product_of, rules_of

_NOTE = "# Made of real users by `dayone fit --new-pack`. Change it like any pack; `dayone validate` checks it.\n"


@dataclass(frozen=True)
class Made:
    """A pack that was made, how it names what the core calls otherwise, and what is to be told of it."""

    pack: Pack
    named: PackNamed
    told: dict[str, Any]


def check_new(folder: Path) -> None:
    """TwinError where there is something already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TwinError(f"--new-pack {folder}: there is something already.", hint="Give a folder that is new or empty.")


def make_pack(table: pa.Table, folder: Path, k: int, conversion: str | None = None) -> Made:
    """A pack of what at least k users did. `conversion` is the core's name of the event that the product lives on.
    TwinError where too little is left."""
    check_new(folder)
    log, users_of_items, beyond = _kept(table, k)
    if not len(log.event):
        raise TwinError(f"no event was done by {k} users.", hint="Wait for more users, or give a smaller --k.")
    words = list(log.words["event"])
    names = names_for(words, "event")
    events = [names[word] for word in words]
    if conversion is not None and conversion not in names:
        raise TwinError(f"conversion: {conversion!r} was done by fewer than {k} users, or is no event of the core.")
    catalogue = infer_catalogue(log, users_of_items, k)
    kinds = kinds_of(log, events, k)
    chain, rules, late = chain_of(log, k), rules_of(log, k), never_first(log, k)
    goal = None if conversion is None else names[conversion]
    product = product_of(
        chain, events, rules, late, name=product_name(folder.name), title=f"{folder.name}: made of real users",
        summary="What can be done, as real users did it. Screens are the event before.",
        item_property=bool(catalogue.ids), exponent=catalogue.exponent, conversion=goal,
        intents=intents_of(log, kinds, events, goal, k), adoption=adoption_of(log),
    )  # fmt: skip
    pack = _write(folder, product, personas_of(log, kinds, catalogue.category, k), catalogue.text())
    named = PackNamed(
        name=pack.product.name, version=pack.product.version, fingerprint=pack.fingerprint,
        events={word: name for word, name in names.items() if word != name} | dict.fromkeys(beyond, ""),
        items={word: name for word, name in catalogue.ids.items() if word != name},
    )  # fmt: skip
    told = {
        "folder": str(folder), "events": len(events), "events_left_out": len(beyond), "items": len(catalogue.ids),
        "personas": list(kinds.words),
        "silhouette": round(kinds.silhouette, 3), "never_first": [events[event] for event in late],
        "preconditions": [
            {"event": events[rule.event], "needs": events[rule.needs], "sessions": rule.sessions,
             "broken_by_chance": round(rule.expected, 1)} for rule in rules
        ],
    }  # fmt: skip
    return Made(pack, named, told)


def _kept(table: pa.Table, k: int) -> tuple[Log, I64, list[str]]:
    """The log without what fewer than k users did, how many users touched each item that is left, and the events of k
    users that are too many for a pack."""
    log = log_of(table)
    by_user = log.user[log.session]
    users = _users(log.event, by_user, len(log.words["event"]))
    order = np.argsort(-users, kind="stable")[:MOST_EVENTS]
    often = np.zeros(len(users), dtype=bool)
    often[order[users[order] >= k]] = True
    beyond = [log.words["event"][event] for event in np.flatnonzero((users >= k) & ~often).tolist()]
    fine = np.append(_users(log.item, by_user, len(log.words["item"])) >= k, False)
    items = pa.array(list(log.words["item"]), pa.string()).take(pa.array(log.item, mask=~fine[log.item]))
    thin = table_of(log, [str(n) for n in range(log.users)], [str(n) for n in range(len(log.user))])
    thin = thin.set_column(thin.column_names.index("item_id"), "item_id", items).filter(pa.array(often[log.event]))
    kept = log_of(thin)
    return kept, _users(kept.item, kept.user[kept.session], len(kept.words["item"])), beyond


def _users(code: I64, user: I64, size: int) -> I64:
    """[size]: by how many users each code was had."""
    there, most = code >= 0, int(user.max(initial=0)) + 1
    return np.bincount(np.unique(code[there] * most + user[there]) // most, minlength=size)


def _write(folder: Path, product: dict[str, Any], personas: dict[str, Any], catalogue: str) -> Pack:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as made:
        part = Path(made) / folder.name
        (part / "personas").mkdir(parents=True)
        (part / "product.yaml").write_text(_NOTE + _yaml(product), "utf-8")
        (part / "catalog.csv").write_text(catalogue, "utf-8")
        for name, persona in personas.items():
            (part / "personas" / f"{name}.yaml").write_text(_NOTE + _yaml(persona), "utf-8")
        try:
            load_pack(part)
        except PackError as error:
            raise TwinError(f"no pack can be made of this core: {error}") from error
        if folder.exists():
            shutil.rmtree(folder)
        part.replace(folder)
    return load_pack(folder)


def _yaml(data: dict[str, Any]) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
