"""The audit: every privileged change, who made it and what it touched, written in the change's own transaction."""

from shared.audit.usecases import record

__all__ = ["record"]
