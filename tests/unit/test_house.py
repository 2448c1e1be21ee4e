"""The house's own rules, where no other tool holds them."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from siloway.common.v1 import error_reason_pb2 as reason_pb

from shared import errors

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("control_silo", "region_silo", "shared", "siloway_client")
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400

FAULTS = {
    *(f"P{number}" for number in range(1, 14)),
    *(f"S{number}" for number in range(1, 8)),
    *(f"B{number}" for number in range(1, 5)),
    *(f"O{number}" for number in range(1, 8)),
    *(f"R{number}" for number in range(1, 4)),
    *(f"D{number}" for number in range(1, 3)),
    *(f"F{number}" for number in range(1, 5)),
    "C1",
}
"""The rows of the fault matrix of organizations across silos."""

CASES = {1, 2, 3, 4, 6, *range(9, 16), *range(18, 25), *range(27, 33), 34, 36, *range(37, 41), 43, 44, 45, 47, 48, 49}
"""The acceptance cases of the same."""


def names_of_tests(kind: str) -> Iterator[str]:
    """The names of tests with cases or faults; those of releases count their own cases."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if "releases" not in path.relative_to(ROOT).parts:
            yield from re.findall(rf"def (test_\w*{kind}\w*)", path.read_text())


def sources() -> list[Path]:
    return [
        path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if "versions" not in path.relative_to(ROOT).parts
    ]


def classes(root: type[errors.ServiceError]) -> Iterator[type[errors.ServiceError]]:
    for child in root.__subclasses__():
        yield child
        yield from classes(child)


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_files_and_functions_stay_small() -> None:
    long = [
        f"{path.relative_to(ROOT)}: a long file of tests"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path.read_text().count("\n") > FILE_LINES_MAX
    ]
    for path in sources():
        text = path.read_text()
        if text.count("\n") > FILE_LINES_MAX:
            long.append(f"{path.relative_to(ROOT)}: {text.count(chr(10))} lines")
        long += [
            f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
        ]
    assert not long


def test_usecases_stores_and_domains_know_neither_grpc_nor_generated_code() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources()
        if path.stem in {"usecases", "store", "domain"}
        for name in imported(path)
        if name.split(".")[0] in {"grpc", "siloway", "google", "buf"}
    ]
    assert not found


def test_domains_know_neither_sql_nor_redis() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources()
        if path.stem == "domain"
        for name in imported(path)
        if name.split(".")[0] in {"sqlalchemy", "redis", "psycopg"}
    ]
    assert not found


def test_only_programs_read_the_environment() -> None:
    allowed = {"__main__.py", "entry.py"}
    found = [
        str(path.relative_to(ROOT))
        for path in sources()
        if path.name not in allowed and re.search(r"os\.environ|os\.getenv", path.read_text())
    ]
    assert not found


def test_only_the_interceptor_aborts_a_call() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in sources()
        if re.search(r"context\.abort|\.abort_with_status\(", path.read_text()) and "shared/rpc" not in str(path)
    ]
    assert not found


def test_every_reason_is_listed_in_the_contract_and_in_the_docs() -> None:
    in_code = {child.reason for child in classes(errors.ServiceError)}
    names = {name.removeprefix("ERROR_REASON_") for name in reason_pb.ErrorReason.DESCRIPTOR.values_by_name}
    in_contract = names - {"UNSPECIFIED"}
    in_docs = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE))
    assert in_code == in_contract
    assert in_code == in_docs


@pytest.mark.parametrize("child", list(classes(errors.ServiceError)))
def test_every_refusal_has_a_message_of_its_own(child: type[errors.ServiceError]) -> None:
    assert child.__doc__
    assert child().message == child.__doc__.strip().splitlines()[0]


def test_every_failure_mode_names_a_test_that_exists() -> None:
    named = re.findall(r"`(tests/[a-z_/]+\.py)::(\w+)`", (ROOT / "docs/failure_modes.md").read_text())
    assert named
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text()]
    assert not missing


def test_every_row_of_the_fault_matrix_is_told_and_has_a_test() -> None:
    told = set(re.findall(r"^\| ([A-Z]\d+) \|", (ROOT / "docs/failure_modes.md").read_text(), re.MULTILINE))
    tested = {row for name in names_of_tests("fault") for row in re.findall(r"([A-Z]\d+)_", name.partition("fault")[2])}
    assert FAULTS - told == set()
    assert FAULTS - tested == set()


def test_every_acceptance_case_of_organizations_across_silos_has_a_test() -> None:
    tested = {
        int(number)
        for name in names_of_tests("case")
        for number in re.findall(r"(?:case|cases|and|_)_?(\d\d)(?=_)", name.partition("_fault")[0])
    }
    assert CASES - tested == set()


def test_no_possessive_quantifier_is_used() -> None:
    # Python 3.11.0 to 3.11.4 match groups with them wrongly, and 3.11 is what we promise to run on.
    found = [str(path.relative_to(ROOT)) for path in sources() if re.search(r"[*+?]\+[^+= ]", path.read_text())]
    assert not found


def test_no_path_of_a_machine_and_no_registry_stands_in_the_project() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    wrong = re.compile(r"(^|[^A-Za-z0-9_.])/(work|farm)/[a-z.]|--(extra-)?index-url|pypi\.org|registry\.npmjs")
    found = [
        name
        for name in files
        if name != "tests/unit/test_house.py"
        and (ROOT / name).is_file()
        and wrong.search((ROOT / name).read_text(errors="ignore"))
    ]
    assert not found
