"""`siloway ids`: take new ids, and take one apart."""

from typing import Annotated

import typer
from siloway.region.v1 import snowflake_service_pb2 as snowflake_pb

from siloway_client import output
from siloway_client.options import Json, Region, session

app = typer.Typer(no_args_is_help=True, help="Snowflake ids.")


@app.command()
def generate(
    context: typer.Context,
    count: Annotated[int, typer.Argument(min=1, max=10_000, help="How many.")] = 1,
    region: Region = "us",
    json_output: Json = False,
) -> None:
    """Take new ids, one a line, ascending."""
    with session(context).targets().region(region) as client:
        answer = client.snowflakes.GenerateIds(snowflake_pb.GenerateIdsRequest(count=count))
    if json_output:
        output.as_json({"ids": [str(value) for value in answer.ids]})
    else:
        for value in answer.ids:
            output.say(str(value))


@app.command()
def describe(
    context: typer.Context,
    identifier: Annotated[str, typer.Argument(metavar="ID", help="The id, decimal.")],
    region: Region = "us",
    json_output: Json = False,
) -> None:
    """Tell when, where and in which layout an id was made."""
    with session(context).targets().region(region) as client:
        answer = client.snowflakes.DescribeId(snowflake_pb.DescribeIdRequest(id=identifier))
    if json_output:
        output.as_json(answer)
    else:
        output.say(
            f"{answer.id}: layout {answer.layout}, second {output.when(answer.create_time)}, "
            f"region number {answer.region_number}, sequence {answer.sequence}"
        )
