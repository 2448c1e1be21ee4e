"""Puts the control silo's `work` together: the outbox behind its transport, loops, what is cleaned."""

from control_silo.callbacks.registry import sending_registry
from control_silo.callbacks.transport import RegionTransport
from control_silo.changes.usecases import change_tasks
from control_silo.model_imports.cleaner import model_import_tasks
from control_silo.opening import open_control
from control_silo.settings import ControlSettings
from control_silo.slugs.redirects import redirect_tasks
from control_silo.tokens.confirmation import Confirmations
from shared import working


def work(settings: ControlSettings) -> int:
    """Deliver the outbox, confirm the tokens and clean until told to stop. Returns the exit code."""
    parts = open_control(settings)
    transport = RegionTransport(
        {region.name: region.internal_address for region in settings.regions}, parts.credentials
    )
    try:
        return working.work(
            parts,
            registry=sending_registry(),
            transport=transport,
            loops={"confirmations": Confirmations(parts.database).run},
            cleaning=(*model_import_tasks(), *change_tasks(), *redirect_tasks()),
        )
    finally:
        transport.close()
