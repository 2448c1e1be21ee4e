"""Puts a region silo's `work` together: outbox and imports behind a transport, loops, the spool, what is cleaned."""

import threading
from collections.abc import Callable
from datetime import timedelta

import structlog

from region_silo.callbacks.registry import sending_registry
from region_silo.callbacks.transport import ControlTransport
from region_silo.deletions.purging import Purger
from region_silo.deploys.sweeping import Sweep
from region_silo.exports.cleaner import export_tasks
from region_silo.exports.control_peer import ControlRows
from region_silo.exports.runner import ExportRunner
from region_silo.exports.usecases import EXPORTS_CHANNEL, clean_files
from region_silo.fetches import local_git
from region_silo.fetches.cleaner import fetch_tasks
from region_silo.fetches.runner import FetchRunner
from region_silo.imports.cleaner import clean_spool, import_tasks
from region_silo.imports.control_peer import ControlSilo
from region_silo.imports.runner import ImportRunner, RunnerSettings
from region_silo.imports.sharing import ShareSettings
from region_silo.imports.undoer import UndoCaches
from region_silo.members.retelling import Retelling
from region_silo.opening import channel_to_control, open_region
from region_silo.organizations.lookup import organization_cache
from region_silo.projects.lookup import project_cache
from region_silo.settings import RegionSettings
from region_silo.slugs.usecases import IMPORTS_CHANNEL
from shared import program, working
from shared.errors import ServiceError
from shared.exporting.files import ExportFiles
from shared.importing.spool import Spool
from shared.model_cache_gate import CacheGate
from shared.parts import Parts
from shared.rpc.methods import CONNECTION_GRACE_S
from shared.wake import Listener

_log = structlog.get_logger("siloway.imports")

_SPOOL_CLEAN_EVERY_S = 300.0
_WORKSPACES_KEEP_S = CONNECTION_GRACE_S + 600.0
"""Longer than any call that has one."""


def work(settings: RegionSettings) -> int:
    """Write imports, build exports, fetch commits, announce deploys, purge organizations, tell of members, deliver the
    outbox and clean until told to stop.

    Returns the exit code.
    """
    parts = open_region(settings)
    gate = CacheGate(parts.database, clock=parts.clock)
    cache = organization_cache(parts.database, parts.redis, gate, parts.identity.name)
    projects_cached = project_cache(parts.database, parts.redis, gate, parts.identity.name)
    spool = Spool(settings.spool_folder, settings.spool_bytes_max)
    channel = channel_to_control(parts, settings)
    runner = ImportRunner(
        parts.database,
        spool,
        ControlSilo(channel),
        parts.ids,
        RunnerSettings(share=ShareSettings(busy_share=settings.import_share_percent / 100)),
        caches=UndoCaches(lambda ids: cache.changing(*ids), lambda ids: projects_cached.changing(*ids)),
    )
    files = ExportFiles(settings.spool_folder, spool)
    exports = ExportRunner(parts.database, ControlRows(channel), files)
    loops: dict[str, program.Loop] = {
        "imports": _woken(runner.run, settings.silo.database_url, IMPORTS_CHANNEL),
        "exports": _woken(exports.run, settings.silo.database_url, EXPORTS_CHANNEL),
        "spool": _spool_loop(parts, spool, files, timedelta(hours=settings.spool_keep_hours)),
        "fetches": FetchRunner(parts.database, {local_git.NAME: local_git.LocalGit(settings.git_root)}).run,
        "deploys": Sweep(parts.database).run,
        "members": Retelling(parts.database).run,
        "purges": Purger(parts.database, {"organization": cache.changing, "project": projects_cached.changing}).run,
    }
    try:
        return working.work(
            parts,
            registry=sending_registry(),
            transport=ControlTransport(channel),
            loops=loops,
            cleaning=(*import_tasks(), *export_tasks(), *fetch_tasks()),
        )
    finally:
        channel.close()


def _woken(
    work_until: Callable[[threading.Event, Callable[[float], object]], None], database_url: str, channel: str
) -> program.Loop:
    """A loop that is told when there is work."""

    def run(stop: threading.Event) -> None:
        listener = Listener(database_url, [channel])
        try:
            work_until(stop, listener.wait)
        finally:
            listener.close()

    return run


def _spool_loop(parts: Parts, spool: Spool, files: ExportFiles, keep: timedelta) -> program.Loop:
    def run(stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                clean_spool(parts.database, spool, keep=keep)
                clean_files(parts.database, files)
                spool.remove_workspaces(_WORKSPACES_KEEP_S)
            except ServiceError as error:
                _log.warning("spool_waits", reason=error.reason)
            stop.wait(_SPOOL_CLEAN_EVERY_S)

    return run
