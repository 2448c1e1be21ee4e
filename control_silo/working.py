"""Puts the control silo's `work` together: the outbox behind its transport, loops, what is cleaned."""

from control_silo.announcements.cleaner import announcement_tasks
from control_silo.callbacks.registry import sending_registry
from control_silo.callbacks.transport import RegionTransport
from control_silo.changes.usecases import change_tasks
from control_silo.deletions.purging import Purger
from control_silo.model_imports.cleaner import model_import_tasks
from control_silo.model_imports.plans import plan_tasks
from control_silo.opening import open_control
from control_silo.reconciliation.region_peer import RegionPeers
from control_silo.reconciliation.runner import Reconciler, reconciliation_tasks
from control_silo.settings import ControlSettings
from control_silo.slugs.redirects import redirect_tasks
from control_silo.tokens.confirmation import Confirmations
from shared import program, working


def work(settings: ControlSettings) -> int:
    """Deliver the outbox, confirm tokens, compare the regions, carry deletions on and clean until told to stop.

    Returns the exit code.
    """
    parts = open_control(settings)
    transport = RegionTransport(
        {region.name: region.internal_address for region in settings.regions}, parts.credentials
    )
    loops: dict[str, program.Loop] = {
        "confirmations": Confirmations(parts.database).run,
        "deletions": Purger(parts.database, settings.deletions).run,
    }
    if settings.reconciliation.every_s:
        reconciler = Reconciler(parts.database, RegionPeers(transport), settings.reconciliation)
        loops["reconciliation"] = reconciler.run
    try:
        return working.work(
            parts,
            registry=sending_registry(),
            transport=transport,
            loops=loops,
            cleaning=(
                *model_import_tasks(),
                *plan_tasks(),
                *change_tasks(),
                *redirect_tasks(),
                *reconciliation_tasks(),
                *announcement_tasks(),
            ),
        )
    finally:
        transport.close()
