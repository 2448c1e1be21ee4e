"""`python -m tests.bench.curves [--quick] [--out FILE.svg]`: draw how cost grows with size, ours and the floors'.

Each point is the median of a few runs; ours and the floor are measured in turn. What grows as it should is a straight
line with the slope of its floor; the points also go to FILE.json, and to the screen.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from siloway.region.v1 import project_service_pb2 as project_pb

from siloway_client.client import new_request_id
from tests.bench import commits
from tests.bench.chart import Curve, picture
from tests.bench.environment import REGION, Environment, environment
from tests.bench.import_floor import import_floor
from tests.bench.imports import await_quiet, export, run_import
from tests.bench.measuring import seconds

_OUT = Path("build/bench-curves.svg")
_IMPORT_SIZES = (100, 1_000, 10_000, 100_000)
_COMMIT_SIZES = (10, 100, 1_000, 10_000)
_QUICK_SIZES = 3

Panel = dict[str, Curve]


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.curves", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, one run each")
    parser.add_argument("--out", type=Path, default=_OUT, help="the picture (SVG); the points go beside it as JSON")
    options = parser.parse_args()
    with environment(quick=options.quick) as running:
        panels = {
            "Import of an organization: seconds by objects": _imports(running),
            "SetCommits with new commits: seconds by commits": _commits(running),
        }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(picture(panels))
    points = json.dumps(panels, indent=2)
    options.out.with_suffix(".json").write_text(points + "\n")
    for title, curves in panels.items():
        print(title)
        for name, curve in curves.items():
            print("  " + name.ljust(16) + "".join(f"{size:>10,.0f}: {cost:.3f} s" for size, cost in curve))
    print(f"drawn in {options.out}")


def _imports(running: Environment) -> Panel:
    stack = running.stack
    with import_floor(stack.database_url("control"), stack.database_url(REGION)) as floor:

        def pair(size: int) -> tuple[float, float]:
            floor.make_tables()
            await_quiet(stack)
            with export(size) as path:
                return seconds(partial(floor.copy, path)), run_import(running, path).took_s

        return _panel(running, _IMPORT_SIZES, pair)


def _commits(running: Environment) -> Panel:
    organization = running.organization()
    running.region.projects.CreateProject(
        project_pb.CreateProjectRequest(
            parent=organization,
            project=project_pb.Project(display_name="web", slug="web"),
            request_id=new_request_id(),
        )
    )
    key = organization.removeprefix("organizations/")
    with commits.copying(running.stack.database_url(REGION)) as copy:
        return _panel(
            running,
            _COMMIT_SIZES,
            lambda size: (copy(size), commits.set_new(running.region.releases, key, size)),
        )


def _panel(running: Environment, sizes: Sequence[int], pair: Callable[[int], tuple[float, float]]) -> Panel:
    """The curves of the floor and of ours; the first measurement of all warms up."""
    pair(sizes[0])
    chosen = sizes[:_QUICK_SIZES] if running.quick else sizes
    floor: list[tuple[float, float]] = []
    ours: list[tuple[float, float]] = []
    for size in chosen:
        print(f"measuring {size}", file=sys.stderr)
        pairs = [pair(size) for _ in range(1 if running.quick else 3)]
        floor.append((size, statistics.median(first for first, _ in pairs)))
        ours.append((size, statistics.median(second for _, second in pairs)))
    return {"floor": floor, "ours": ours}


if __name__ == "__main__":
    main()
