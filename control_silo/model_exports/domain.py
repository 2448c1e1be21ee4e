"""What limits the rows that control keeps for a region until it takes them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Keeping:
    """Where rows wait, None: in the system's folder; how many bytes of one export; how often it tells that it reads."""

    folder: Path | None = None
    bytes_max: int = 4 << 30
    tell_every_s: float = 5.0
