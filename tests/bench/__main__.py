"""`python -m tests.bench [--quick] [--out FILE] [NAME..]`: measure, and print one JSON object of named figures."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tests.bench import commits, ids, imports, outbox, peer, provision, rpcs, slugs
from tests.bench.environment import Environment, environment
from tests.bench.measuring import Figure

MEASURES: dict[tuple[str, ...], Callable[[Environment], dict[str, Figure]]] = {
    ("read_rpc_vs_echo", "write_rpc_vs_echo"): rpcs.run,
    ("set_commits_10k_vs_copy", "set_commits_replay_10k_vs_copy", "set_commits_statements"): commits.run,
    ("import_vs_copy",): imports.speed,
    ("import_rss_growth_mb_1m", "import_flatness_1m"): imports.large,
    ("ids_vs_one_trip",): ids.per_trip,
    ("ids_v2_vs_v1_rate",): ids.layouts,
    ("slugs_vs_one_statement",): slugs.run,
    ("outbox_drain_vs_floor",): outbox.drain,
    ("outbox_cross_silo_vs_floor",): outbox.cross_silo,
    ("provision_vs_floor",): provision.run,
    ("import_vs_loaddata",): peer.load,
    ("outbox_drain_vs_pgqueuer",): peer.pgqueuer,
    ("outbox_drain_vs_procrastinate",): peer.procrastinate,
}


def main() -> None:
    """Measure what is named, or all."""
    known = [name for names in MEASURES for name in names]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; all without any")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer runs: under 4 minutes in all")
    parser.add_argument("--out", type=Path, help="also write the JSON into this file")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(known))
    if unknown:
        parser.error(f"no such figure: {', '.join(unknown)}")
    figures: dict[str, object] = {}
    with environment(quick=options.quick) as running:
        for names, measure in MEASURES.items():
            if not options.names or set(names) & set(options.names):
                print(f"measuring {', '.join(names)}", file=sys.stderr)
                figures |= {name: asdict(figure) for name, figure in measure(running).items()}
    report = json.dumps(figures, indent=2)
    print(report)
    if options.out is not None:
        options.out.write_text(report + "\n")


if __name__ == "__main__":
    main()
