"""``bench chart``: one chart of a run, for an article or a decision."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import open_run, run_argument, store_option


class _Width(click.ParamType[float]):
    """Millimetres, or the name of a usual width."""

    name = "width"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from results.report.single import WIDTHS

        text = str(value)
        if text in WIDTHS:
            return WIDTHS[text]
        try:
            width = float(text.removesuffix("mm"))
        except ValueError:
            width = 0.0
        if not 60 <= width <= 600:
            self.fail(f"{text!r} is no width: expected {' or '.join(WIDTHS)}, or from 60 to 600 mm", param, ctx)
        return width


def _print_kinds(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    from results.report.single import KINDS

    widest = max(map(len, KINDS))
    for kind, line in KINDS.items():
        click.echo(f"{kind:{widest}}  {line}")
    context.exit()


@click.command()
@run_argument
@store_option
@click.option("--list", callback=_print_kinds, is_flag=True, expose_value=False, is_eager=True, help="List the kinds.")
@click.option("--kind", required=True, metavar="KIND", help="Which chart; see --list.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write to, ending in .svg, .png or .pdf.",
)
@click.option(
    "--width",
    type=_Width(),
    default="page",
    show_default=True,
    metavar="WIDTH",
    help="'column' (89 mm), 'page' (183 mm) or millimetres.",
)
@click.option("--title", help="Title above the chart; '' for none [what the chart shows].")
def chart(run: str, store_directory: Path, kind: str, output: Path, width: float, title: str | None) -> None:
    """Write one chart of RUN: on white, with n, method, host and run below it. The same run gives the same bytes."""
    from results.report import save_chart

    with open_run(store_directory, run) as (store, record):
        try:
            save_chart(store, record, kind, output, width=width, title=title)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
    click.echo(output)
