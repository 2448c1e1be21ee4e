"""Which rows of a file its import's filters leave out. Spec imports.md 7.

Before the writing begins the file is gone through once for what the names want: the users, or the organizations with
their members, and these users' addresses. Every other row follows what it refers to: it is left out when one of these
rows is. An inviter who was left out costs nobody.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from region_silo.imports import filter_store, finding_store, store
from region_silo.imports.domain import DataImport
from region_silo.imports.store import Lease
from region_silo.imports.targets import target_of
from shared.database import Database, Transaction
from shared.importing.decisions import BatchFinding
from shared.importing.fields import field_reader
from shared.importing.findings import Finding, FindingKind
from shared.importing.registry import MEMBER, ORGANIZATION, USER, Silo, models
from shared.importing.undo_order import EMAIL
from shared.importing.upload import RawRow, UploadedFile

_ROWS_A_TIME = 5000

_Hold = Callable[[Callable[[Transaction], None]], None]
"""Runs work in a transaction that holds the lease."""
_Named = tuple[int, str | None]
"""A pk, and an address."""


class Sieve:
    """One import's filters. Without any, it leaves nothing out and costs nothing."""

    def __init__(self, database: Database, data_import: DataImport, file: UploadedFile) -> None:
        self._database = database
        self._import = data_import
        self._file = file
        options = data_import.options
        self._named: frozenset[str] = frozenset()
        if options.usernames is not None:
            self._named = frozenset({USER, EMAIL})
        elif options.organization_slugs is not None:
            self._named = frozenset({ORGANIZATION, USER, EMAIL})

    @property
    def is_open(self) -> bool:
        """Whether everything passes."""
        return not self._named and not self._import.edited

    def prepare(self, lease: Lease, lease_s: float) -> None:
        """Find what is wanted, once an import. Raises LeaseLostError."""
        if not self._named or self._import.filtered_at is not None:
            return

        def hold(work: Callable[[Transaction], None]) -> None:
            def held(transaction: Transaction) -> None:
                store.renew(transaction, lease, lease_s)
                work(transaction)

            self._database.transact(held)

        usernames, slugs = self._import.options.usernames, self._import.options.organization_slugs
        if usernames is not None:
            missing = self._want_named(hold, USER, "username", usernames)
        else:
            missing = self._want_named(hold, ORGANIZATION, "slug", slugs or ())
            self._want_members(hold)
            self._want_addresses_of(hold)
        self._want_emails(hold)
        hold(lambda transaction: self._finish(transaction, missing))

    def passing(self, model: str, first: int, last: int, left_out: list[RawRow]) -> Iterator[list[RawRow]]:
        """The rows from one ordinal to another that pass, in runs; the others are added to `left_out`."""
        for run in self._file.rows(model, first, last - first + 1):
            gone = self.left_out(model, run)
            left_out += gone
            ordinals = {row.ordinal for row in gone}
            yield [row for row in run if row.ordinal not in ordinals] if gone else run

    def left_out(self, model: str, rows: Sequence[RawRow]) -> list[RawRow]:
        """Those of the rows that do not pass. What cannot be read passes: decoding tells what is wrong with it."""
        if self.is_open or not rows:
            return []
        taken_out = self._taken_out(model, rows) if self._import.edited else []
        gone = {row.ordinal for row in taken_out}
        return taken_out + self._filtered(model, [row for row in rows if row.ordinal not in gone])

    def _taken_out(self, model: str, rows: Sequence[RawRow]) -> list[RawRow]:
        """Those of the rows that whoever applies the plan has taken out."""
        pks = {model: [row.pk for row in rows if row.pk is not None]}
        gone = self._database.read(lambda transaction: filter_store.left_out_of(transaction, self._import.id, pks))
        return [row for row in rows if (model, row.pk) in gone]

    def _filtered(self, model: str, rows: Sequence[RawRow]) -> list[RawRow]:
        if model in self._named:
            pks = [row.pk for row in rows if row.pk is not None]
            wanted = self._database.read(
                lambda transaction: filter_store.wanted_of(transaction, self._import.id, model, pks)
            )
            return [row for row in rows if row.pk is not None and row.pk not in wanted]
        return self._following(model, rows)

    def note(self, transaction: Transaction, model: str, rows: Sequence[RawRow]) -> None:
        """Remember rows that were left out, so that those which refer to them follow."""
        if rows:
            pks = [row.pk for row in rows if row.pk is not None]
            filter_store.insert_left_out(transaction, self._import.id, model, pks)

    def total(self, transaction: Transaction, model: str) -> list[BatchFinding]:
        """The finding for all rows of the model that were left out, if there are any."""
        count = 0 if self.is_open else filter_store.count_left_out(transaction, self._import.id, model)
        if not count:
            return []
        reason = f"{count} rows: not named by the filter, taken out of the plan, or referring to such rows"
        return [BatchFinding.of_row(Finding.of(FindingKind.FILTERED_OUT, model, 0, reason=reason))]

    def _following(self, model: str, rows: Sequence[RawRow]) -> list[RawRow]:
        is_own = models()[model].silo is Silo.REGION
        spared = target_of(model, self._import.terms).nulled if is_own else frozenset()
        references = [each for each in models()[model].references if each.field not in spared]
        if not references:
            return []
        reader = field_reader(tuple(each.field for each in references))
        referred = [reader.pks(row.data) if row.pk is not None else () for row in rows]
        wanted: dict[str, set[int]] = {}
        for pks in referred:
            for reference, pk in zip(references, pks, strict=False):
                if pk is not None:
                    wanted.setdefault(reference.model, set()).add(pk)
        gone = self._database.read(lambda transaction: filter_store.left_out_of(transaction, self._import.id, wanted))
        return [
            row
            for row, pks in zip(rows, referred, strict=True)
            if any((each.model, pk) in gone for each, pk in zip(references, pks, strict=False))
        ]

    def _want_named(self, hold: _Hold, model: str, field: str, names: Sequence[str]) -> list[Finding]:
        """Rows with these names; a finding for each name that no row has."""
        wanted, seen = frozenset(names), set[str]()
        reader = field_reader((field, "email"))
        for rows in self._pages(model) if wanted else ():
            found: list[_Named] = []
            for row in rows:
                name, email = reader.texts(row.data)
                if name in wanted and row.pk is not None:
                    seen.add(name)
                    found.append((row.pk, _folded(email)))
            hold(partial(self._insert, model=model, found=found))
        return [
            Finding.of(FindingKind.NOT_IN_FILE, model, 0, field=field, reason=f'the file has no {model} "{name}"')
            for name in names
            if name not in seen
        ]

    def _want_members(self, hold: _Hold) -> None:
        """The users who are members of wanted organizations; the rows may stand anywhere in the file."""
        reader = field_reader(("organization", "user_id"))

        def work(transaction: Transaction, pairs: Sequence[tuple[int, int]]) -> None:
            organizations = {organization for organization, _ in pairs}
            wanted = filter_store.wanted_of(transaction, self._import.id, ORGANIZATION, organizations)
            self._insert(transaction, USER, [(user, None) for organization, user in pairs if organization in wanted])

        for rows in self._pages(MEMBER):
            found = (reader.pks(row.data) for row in rows)
            hold(partial(work, pairs=[(organization, user) for organization, user in found if organization and user]))

    def _want_addresses_of(self, hold: _Hold) -> None:
        """Enter the addresses of the wanted users."""

        def work(transaction: Transaction, addresses: Sequence[_Named]) -> None:
            wanted = filter_store.wanted_of(transaction, self._import.id, USER, [pk for pk, _ in addresses])
            self._insert(transaction, USER, [(pk, address) for pk, address in addresses if pk in wanted])

        for rows in self._pages(USER):
            hold(partial(work, addresses=_addresses(rows)))

    def _want_emails(self, hold: _Hold) -> None:
        """The rows of addresses that wanted users have."""

        def work(transaction: Transaction, addresses: Sequence[_Named]) -> None:
            names = {address for _, address in addresses if address}
            known = filter_store.known_names(transaction, self._import.id, USER, names)
            self._insert(transaction, EMAIL, [(pk, None) for pk, address in addresses if address in known])

        for rows in self._pages(EMAIL):
            hold(partial(work, addresses=_addresses(rows)))

    def _finish(self, transaction: Transaction, missing: Sequence[Finding]) -> None:
        if filter_store.set_filtered(transaction, self._import.id) and missing:
            told = [BatchFinding.of_row(each) for each in missing]
            finding_store.copy_findings(transaction, self._import.id, told)
            finding_store.count_findings(transaction, self._import.id, len(told))

    def _insert(self, transaction: Transaction, model: str, found: Sequence[_Named]) -> None:
        if found:
            filter_store.insert_wanted(transaction, self._import.id, model, found)

    def _pages(self, model: str) -> Iterator[list[RawRow]]:
        """All rows of a model, a bounded number of rows and bytes at a time."""
        first = 1
        while records := self._file.records(model, first, _ROWS_A_TIME):
            yield from self._file.rows(model, first, len(records))
            first += len(records)


def _addresses(rows: Sequence[RawRow]) -> list[_Named]:
    reader = field_reader(("email",))
    return [(row.pk, _folded(reader.texts(row.data)[0])) for row in rows if row.pk is not None]


def _folded(address: str | None) -> str | None:
    return address.lower() if address else None
