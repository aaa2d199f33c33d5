"""The stacks of bands of the same files, run beside one another: what lies in the same tiles is read once.

Each stack runs in a thread of its own, as if alone. They meet before they compute, where as many as memory has room for
become a batch, and then in every pass.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from runner.archive.batches import Planned, batch_bytes, first_batch, shared_plan, what_is_read
from runner.archive.joint_pass import Entry, JointPass
from runner.archive.turns import Turns, own_bytes, room_bytes
from runner.cluster.open import Clusters, Prepare
from runner.cluster.workers import Cluster
from runner.engine.shared import Shared
from runner.engine.traced_tasks import run_traced
from runner.host.process_tree import Usage
from runner.host.stopping import LOOK_SECONDS, refuse_if_stopped
from runner.job import Share, Surroundings
from runner.model import Stack
from runner.planning.records import Plan
from runner.settings import ClusterSettings

SharedData = TypeVar("SharedData")
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Batch:
    """Stacks that compute together, by their numbers."""

    planned: dict[int, Planned]
    inside: set[int]  # have not written all results
    computing: set[int]  # have not computed all passes
    admitted: bool = False
    turn: ExitStack | None = None  # to compute; taken by the first, given back by the last
    has_turn: bool = False
    entries: dict[int, Entry] = field(default_factory=dict)  # of the stacks that have come to their next pass
    joint: dict[int, JointPass] = field(default_factory=dict)

    def share_of(self, number: int) -> Share:
        """The share that a stack has of what all of them read."""
        place, of = [*self.planned].index(number), len(self.planned)
        return lambda plan: shared_plan(plan, place, of)


class BandGroup:
    """Where the stacks of some bands of the same files meet. Each of `count` must `end`, whatever happens."""

    def __init__(self, turns: Turns, shared: Surroundings, count: int) -> None:
        self._turns, self._shared = turns, shared
        self._preparing = set(range(count))
        self._waiting: dict[int, Planned] = {}
        self._alone: set[int] = set()  # stacks whose tiles hold no other band
        self._batch: _Batch | None = None
        self._changed = threading.Condition()

    def surroundings(self, number: int) -> Surroundings:
        """What stack number `number`, from 0, shares with the others."""
        assert self._shared.clusters  # an archive opens them once
        clusters = _JoinedClusters(self._shared.clusters, self._joined, number)

        def room(plan: Plan, stack: Stack) -> AbstractContextManager[Share]:
            return self._room(number, Planned(stack, plan))

        return replace(self._shared, clusters=clusters, room=room, computing=lambda: self._computing(number))

    def end(self, number: int) -> None:
        """Let the others no longer wait for a stack."""
        with self._changed:
            self._preparing.discard(number)
            self._changed.notify_all()

    # --- room ---------------------------------------------------------------------------------------------------------

    @contextmanager
    def _room(self, number: int, planned: Planned) -> Iterator[Share]:
        if what_is_read(planned) is None:
            self.end(number)
            self._alone.add(number)
            with self._turns.room(planned.plan) as share:
                yield share
            return
        batch = self._admitted(number, planned)
        try:
            yield batch.share_of(number)
        finally:
            self._turns.give_back(own_bytes(planned.plan))
            with self._changed:
                batch.inside.discard(number)
                if not batch.inside:
                    self._batch = None
                self._changed.notify_all()

    def _admitted(self, number: int, planned: Planned) -> _Batch:
        """Wait until a stack is in a batch that has room."""
        with self._changed:
            self._preparing.discard(number)
            self._waiting[number] = planned
            self._changed.notify_all()
            try:
                while not (self._batch and number in self._batch.inside and self._batch.admitted):
                    refuse_if_stopped()
                    if self._batch is None and not self._preparing:
                        self._form_batch()
                    else:
                        self._changed.wait(LOOK_SECONDS)
            except BaseException:
                self._waiting.pop(number, None)
                self._changed.notify_all()
                raise
            return self._batch

    def _form_batch(self) -> None:
        """Admit the stacks that are read together with the first that waits, once there is room for all of them."""
        numbers = sorted(self._waiting)
        places = first_batch([self._waiting[number] for number in numbers], self._turns.limit_bytes)
        planned = {numbers[place]: self._waiting[numbers[place]] for place in places}
        batch = self._batch = _Batch(planned, set(planned), set(planned))
        plans = [stack.plan for stack in planned.values()]
        room = min(room_bytes(plan, self._turns.limit_bytes) for plan in plans)
        self._changed.release()
        try:
            self._turns.take(batch_bytes(plans), room)
        except BaseException:
            self._changed.acquire()
            self._batch = None
            raise
        self._changed.acquire()
        batch.admitted = True
        for number in planned:
            self._waiting.pop(number, None)
        self._changed.notify_all()

    # --- turns --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _computing(self, number: int) -> Iterator[None]:
        if number in self._alone:
            with self._shared.computing():
                yield
            return
        batch = self._batch
        assert batch is not None  # `_room` comes first
        try:
            self._take_turn(batch)
            yield
        finally:
            with self._changed:
                batch.computing.discard(number)
                turn = batch.turn if not batch.computing else None
                self._changed.notify_all()
            if turn is not None:
                turn.close()

    def _take_turn(self, batch: _Batch) -> None:
        """Wait for the turn of a batch, which the first of its stacks takes."""
        with self._changed:
            while batch.turn is not None and not batch.has_turn:
                refuse_if_stopped()
                self._changed.wait(LOOK_SECONDS)
            if batch.has_turn:
                return
            turn = batch.turn = ExitStack()
        turn.enter_context(self._shared.computing())
        with self._changed:
            batch.has_turn = True
            self._changed.notify_all()

    # --- passes -------------------------------------------------------------------------------------------------------

    def _joined(self, entry: Entry) -> Generator[Any, None, None]:
        """The results of a stack's pass, once the others of its batch have come to theirs."""
        if entry.number in self._alone:
            yield from JointPass([entry]).results(entry.number)
            return
        batch = self._batch
        assert batch is not None  # `_room` comes first
        with self._changed:
            batch.entries[entry.number] = entry
            self._changed.notify_all()
            while entry.number not in batch.joint:
                refuse_if_stopped()
                if batch.computing <= batch.entries.keys():
                    _join(batch)
                    self._changed.notify_all()
                else:
                    self._changed.wait(LOOK_SECONDS)
            joint = batch.joint.pop(entry.number)
        yield from joint.results(entry.number)


def _join(batch: _Batch) -> None:
    """Join the passes that read the same tiles."""
    alike: dict[object, list[Entry]] = {}
    for number in sorted(batch.entries):
        alike.setdefault(batch.entries[number].reading, []).append(batch.entries[number])
    for entries in alike.values():
        joint = JointPass(entries)
        batch.joint.update((entry.number, joint) for entry in entries)
    batch.entries.clear()


@dataclass(frozen=True, slots=True)
class _JoinedCluster:
    """A cluster as one of the stacks sees it."""

    cluster: Cluster
    joined: Callable[[Entry], Generator[Any, None, None]]
    number: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cluster, name)

    def map(
        self,
        function: Callable[[SharedData, Iterator[Item]], Iterator[Result]],
        shared: SharedData,
        tasks: Sequence[Item],
        stop: Callable[[], None],
    ) -> Generator[Result, None, None]:
        """The results of tasks of the block engine, together with those of other stacks."""
        if function is not run_traced or not isinstance(shared, Shared):
            return self.cluster.map(function, shared, tasks, stop)
        return self.joined(Entry(self.number, self.cluster, shared, cast("Any", tasks)))


class _JoinedClusters(Clusters):
    """The open clusters of an archive, as one of the stacks sees them."""

    def __init__(self, clusters: Clusters, joined: Callable[[Entry], Generator[Any, None, None]], number: int) -> None:
        self._clusters, self._joined, self._number = clusters, joined, number

    def known_processes(self) -> frozenset[int]:
        """Those of the archive."""
        return self._clusters.known_processes()

    @contextmanager
    def opened(
        self, settings: ClusterSettings, options: Mapping[str, str], prepare: Prepare | None = None
    ) -> Iterator[Cluster]:
        """A cluster of the archive."""
        with self._clusters.opened(settings, options, prepare) as cluster:
            yield cast("Cluster", _JoinedCluster(cluster, self._joined, self._number))

    def measured(self, strangers: frozenset[int]) -> AbstractContextManager[Usage]:
        """As of the archive."""
        return self._clusters.measured(strangers)
