"""What a plan's ledger notes, in both silos, beside what it decided: it has to be found unchanged by its application."""

# existing: the row that stands for the file's is the silo's own, not one of the plan's. told: bits of what was told.
# before: the digest of a row that is to be overwritten.
PLAN_COLUMNS = "ALTER TABLE import_row ADD COLUMN existing boolean, ADD COLUMN told integer, ADD COLUMN before text"
PLAN_COLUMNS_UNDONE = "ALTER TABLE import_row DROP COLUMN before, DROP COLUMN told, DROP COLUMN existing"
