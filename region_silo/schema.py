"""Where a region silo's features hang their tables; the shared ones hang on shared.schema.METADATA."""

from sqlalchemy import MetaData

METADATA = MetaData()
