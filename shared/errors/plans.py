"""Refusals about plans of imports and their application."""

from shared.errors.states import FailedPrecondition


class PlanNotReady(FailedPrecondition):
    """The import is no plan, or one that is not made yet, or was not finished; the metadata has its state."""

    reason = "PLAN_NOT_READY"


class PlanExpired(FailedPrecondition):
    """The plan's time is over: what it said may be true no more. Plan again."""

    reason = "PLAN_EXPIRED"


class PlanApplied(FailedPrecondition):
    """The plan is applied already, or that is under way; the metadata has the import."""

    reason = "PLAN_APPLIED"


class ImportDrifted(FailedPrecondition):
    """A batch would not be written as planned, so it was not written; findings say what differs."""

    reason = "IMPORT_DRIFTED"
