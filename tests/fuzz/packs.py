"""The pack loader under damaged files: CSV, YAML, and packs of both.

Promised: a file becomes data or a PackError, never another exception; each fault says file, found and expected in text
that can be printed; and a pack that loads has a fingerprint, a vocabulary, and fits into a database.
"""

from __future__ import annotations

import atexit
import random
import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

import yaml

from personas import source
from personas.catalog import load_catalog
from personas.errors import PackError
from personas.pack import Pack, load_pack
from personas.population import DAY_MS
from personas.provenance import RunIdentity
from simulator.partitioner import Shard
from simulator.producer import MemoryProducer
from simulator.simulation import Simulation
from sinks.ingest import Decoder
from sinks.store import MEMORY, Store
from sinks.vocabulary import vocabulary_of
from tests.fuzz import mutation
from tests.fuzz.target import Finding
from tests.personas.small_pack import CATALOG, PERSONA, PRODUCT
from tests.runs import START

#: Small YAML with all that packs use: pure Python reads it at 100 kB/s, so the fuzz lives on short texts.
YAML = (
    b"name: small\ntitle: 'A small product'\ncounters: {member: 1}\n",
    b"on: [entry, list]\nproperties:\n  price: {type: number, amount: {median: 5}}\n",
    b'text: |\n  two\n  lines\nlist:\n- 1\n- .5\n- "x\\u00e9"\n',
    b"story: >\n  folded\n  text\nvoice: plain # comment\nrate: 1e-3\nyes: no\n",
)


class Folder:
    """A folder for one process' files, in memory where the machine has such a place."""

    def __init__(self) -> None:
        memory = Path("/dev/shm")
        self.path = Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if memory.is_dir() else None))
        atexit.register(shutil.rmtree, self.path, ignore_errors=True)


def judged(error: PackError, content: bytes) -> None:
    """Finding where a PackError does not say what is wrong."""
    if not error.faults:
        raise Finding(f"a PackError without a fault: {error.message}", content)
    for fault in error.faults:
        if not (fault.file and fault.found and fault.expected):
            raise Finding(f"a fault that says too little: {fault!r}", content)
    try:
        text = str(error)
        text.encode()
    except UnicodeEncodeError:
        raise Finding("a fault that cannot be printed", content) from None
    if len(text) > 100_000:
        raise Finding(f"a message of {len(text):,} characters", content)


class YamlTarget:
    """Bytes to `read_yaml`."""

    inputs_per_attempt = 1

    def __init__(self) -> None:
        self._folder = Folder()
        self.file = self._folder.path / "some.yaml"

    def attempt(self, rng: random.Random) -> bytes:
        """See Target."""
        text = rng.choice(YAML)
        kind = rng.random()
        if kind < 0.003:
            text = mutation.huge(rng, text)
        elif kind < 0.03:
            text = mutation.bombs(rng, text)
        elif kind < 0.05:
            mixed = mutation.spliced(rng, text, rng.choice(YAML)).decode(errors="replace")
            text = mixed.encode(rng.choice(("utf-16", "utf-8-sig")))
        else:
            text = mutation.noisy_bytes(rng, text)
        self.file.write_bytes(text)
        try:
            source.read_yaml(self.file)
        except PackError as error:
            judged(error, text)
        return text

    def settle(self) -> None:
        """See Target."""


class CatalogTarget:
    """Bytes to `load_catalog`."""

    inputs_per_attempt = 1

    def __init__(self) -> None:
        self._folder = Folder()
        self.file = self._folder.path / "catalog.csv"

    def attempt(self, rng: random.Random) -> bytes:
        """See Target."""
        text = CATALOG.encode()
        text = mutation.huge(rng, text) if rng.random() < 0.005 else mutation.noisy_bytes(rng, text)
        self.file.write_bytes(text)
        try:
            load_catalog(self.file)
        except PackError as error:
            judged(error, text)
        return text

    def settle(self) -> None:
        """See Target."""


class PackTarget:
    """Whole packs, of which one YAML file has damaged data; now and then damaged bytes.

    Reading YAML takes most of the time that loading takes, and `YamlTarget` is for that: damaged data is given to the
    loader as if `read_yaml` had read it. Lines are then those of the undamaged file.
    """

    inputs_per_attempt = 1

    def __init__(self) -> None:
        self._folder = Folder()
        self._pack = self._folder.path / "small"
        (self._pack / "personas").mkdir(parents=True)
        self._texts = {"product.yaml": PRODUCT, "personas/visitor.yaml": PERSONA, "catalog.csv": CATALOG}
        for name, text in self._texts.items():
            (self._pack / name).write_text(text)
        yamls = [name for name in self._texts if name.endswith("yaml")]
        self._read = {self._pack / name: source.read_yaml(self._pack / name) for name in yamls}
        self._trees = {name: yaml.safe_load(self._texts[name]) for name in yamls}
        self._store = Store.open(MEMORY, memory_limit="128MB")

    def attempt(self, rng: random.Random) -> bytes:
        """See Target."""
        name = rng.choice(("product.yaml", "product.yaml", "personas/visitor.yaml"))
        if rng.random() < 0.02:
            text = mutation.noisy_bytes(rng, self._texts[name].encode())
            (self._pack / name).write_bytes(text)
            try:
                self._load(rng, text)
            finally:
                (self._pack / name).write_text(self._texts[name])
            return text
        tree = mutation.damaged_tree(rng, mutation.copied(self._trees[name]))
        text = repr(tree)[:20_000].encode("utf-8", "backslashreplace")
        file = self._pack / name
        changed = {**self._read, file: (mutation.as_read(tree), self._read[file][1])}
        with patch.object(source, "read_yaml", changed.__getitem__):
            self._load(rng, text)
        return text

    def _load(self, rng: random.Random, text: bytes) -> None:
        try:
            pack = load_pack(self._pack)
        except PackError as error:
            judged(error, text)
            return
        try:
            _ = pack.fingerprint, vocabulary_of(pack)
            if rng.random() < 0.02:
                self._store.load_pack(pack)
            if rng.random() < 0.002:
                self._play(pack)
        except Exception as error:
            raise Finding(f"a pack that loads is of no use: {error!r}", text) from error

    def _play(self, pack: Pack) -> None:
        identity = RunIdentity(
            product=pack.product.name, product_version=pack.product.version, pack_fingerprint=pack.fingerprint,
            seed=1, users=3, start=START,
        )  # fmt: skip
        producer = MemoryProducer()
        Simulation(pack, identity, Shard.parse("0/1", 4), producer).advance(round(0.2 * DAY_MS))
        decoder = Decoder(vocabulary_of(pack))
        for record in producer.records:
            if verdict := decoder.examine(record.topic, record.value):
                raise AssertionError(f"it plays what no sink takes: {verdict}")

    def settle(self) -> None:
        """See Target."""
        self._store.close()
        self._store = Store.open(MEMORY, memory_limit="128MB")
