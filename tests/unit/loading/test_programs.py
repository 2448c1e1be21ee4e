"""What programs load: each module more costs every start of a stack its part of a second."""

import subprocess
import sys

import pytest

_SHOW = "import sys; from {module} import {name}; print(*sys.modules)"
_DOORS = {"protovalidate", "grpc_reflection.v1alpha", "grpc_health.v1", "redis", "alembic", "typer"}


def _loaded(module: str, name: str) -> set[str]:
    source = "from shared.loading import loading\nwith loading():\n    " + _SHOW.format(module=module, name=name)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("silo", ["control_silo", "region_silo"])
def test_work_loads_nothing_of_the_doors(silo: str) -> None:
    loaded = _loaded(f"{silo}.working", "work")
    assert "sqlalchemy.engine" in loaded
    assert {name for name in loaded if name in _DOORS or name.endswith(".servicer")} == set()


@pytest.mark.parametrize("silo", ["control_silo", "region_silo"])
def test_serve_loads_neither_redis_nor_alembic_nor_rich(silo: str) -> None:
    loaded = _loaded(f"{silo}.wiring", "serve")
    assert "protovalidate" in loaded
    assert {name for name in loaded if name in {"redis", "alembic", "rich.console", "typer"}} == set()


def test_up_becomes_the_stack_without_loading_the_commands() -> None:
    loaded = _loaded("siloway_client.entry", "main")
    assert {name for name in loaded if name in {"grpc", "typer", "rich.console", "google.protobuf"}} == set()
