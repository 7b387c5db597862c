"""Public: a core in memory with virtual time, for tests of plug-ins; see docs/pipelines.md."""

from penstock.testing.fake_programs import FakeProcesses, FakeProgram
from penstock.testing.faulty_store import FaultyStore, StoreFault, open_memory_store
from penstock.testing.in_memory import InMemoryCore, memory_environment, open_test_core
from penstock.testing.virtual_time import (
    START,
    deterministic,
    run_in_virtual_time,
    virtual_now,
)
from penstock.words.surroundings import Surroundings, pack_environ

__all__ = [
    "START",
    "FakeProcesses",
    "FakeProgram",
    "FaultyStore",
    "InMemoryCore",
    "StoreFault",
    "Surroundings",
    "deterministic",
    "memory_environment",
    "open_memory_store",
    "open_test_core",
    "pack_environ",
    "run_in_virtual_time",
    "virtual_now",
]
