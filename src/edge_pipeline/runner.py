"""The Kedro runner that keeps several boards at work at once."""

import logging
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from itertools import chain
from typing import Any

from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import AbstractRunner
from kedro.runner.task import Task
from pluggy import PluginManager

from edge_pipeline.devices.boards import jobs
from edge_pipeline.devices.inventory import DeviceSpec

AT_ONCE = 4
"""Jobs of one device of AI Hub at a time, which it has many of; each may hold half a gigabyte of pictures here."""


class DeviceRunner(AbstractRunner):
    """Runs what this machine does one node after the other, and beside it what boards do: one node at a time on each.

    A device of AI Hub is many boards, and works on `AT_ONCE` nodes.

    So compilation here overlaps with measurements there, and boards do not wait for each other. A measurement of this
    machine itself waits until no board is at work, since serving a board takes some of its time. Without boards it
    does what Kedro's `SequentialRunner` does.
    """

    @property
    def _logger(self) -> logging.Logger:
        return logging.getLogger("kedro.runner")  # heard as Kedro's own runners are, not as this package

    def _get_executor(self, max_workers: int) -> Executor | None:
        return None

    def _run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol[Any, Any],
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
    ) -> None:
        """Run all nodes.

        An error in one of them, or Ctrl-C, ends the work on all boards, whose agents stop and leave nothing behind.
        """
        needs, done = pipeline.node_dependencies, set[Node]()
        loads = Counter(chain.from_iterable(node.inputs for node in pipeline.nodes))
        todo, running = list(pipeline.nodes), dict[Future[None], Node]()
        queues: dict[str, ThreadPoolExecutor] = {}
        jobs.allow()

        def execute(node: Node) -> None:
            Task(node, catalog, hook_manager=hook_manager, is_async=self._is_async, run_id=run_id).execute()

        def finished(node: Node) -> None:
            done.add(node)
            self._release_datasets(node, catalog, loads, pipeline)

        try:
            while todo or running:
                ready = [node for node in todo if needs[node] <= done]
                for node in ready:
                    board = _board(node)
                    if board:
                        queue = queues.setdefault(board, ThreadPoolExecutor(_at_once(node), thread_name_prefix=board))
                        running[queue.submit(execute, node)] = node
                        todo.remove(node)
                here = [node for node in ready if not _board(node) and not (running and _measures_this_machine(node))]
                if here:
                    execute(here[0])
                    todo.remove(here[0])
                    finished(here[0])
                ended = wait(running, timeout=0 if here else None, return_when=FIRST_COMPLETED).done
                for future in ended:
                    future.result()
                    finished(running.pop(future))
        except BaseException:
            jobs.stop_all()
            for queue in queues.values():
                queue.shutdown(wait=False, cancel_futures=True)
            self._suggest_resume_scenario(pipeline, done, catalog)
            raise
        finally:
            for queue in queues.values():
                queue.shutdown()


def _board(node: Node) -> str | None:
    """Return where the board is that a node works on, if any."""
    device: DeviceSpec | None = getattr(node.func, "device", None)
    if device is None:
        return None
    stages = {"profile", "validate", *(["compile"] if device.kind == "aihub" else [])}
    return device.elsewhere if node.tags & stages else None


def _at_once(node: Node) -> int:
    device: DeviceSpec | None = getattr(node.func, "device", None)
    return AT_ONCE if device and device.kind == "aihub" else 1


def _measures_this_machine(node: Node) -> bool:
    device: DeviceSpec | None = getattr(node.func, "device", None)
    return device is not None and device.kind == "host" and "profile" in node.tags
