"""`fairlead deploy`: let an endpoint answer with a version, at once or step by step."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Final

import click
import msgspec

from fairlead.app import Stores
from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import print_json, print_line, say
from fairlead.cli.rollouts.planning import STRATEGIES, plan_from_file, plan_from_options, plan_options
from fairlead.cli.rollouts.standing import print_standing, say_gateways, say_next
from fairlead.config import Config
from fairlead.errors import InvalidInput
from fairlead.rollout.plan import Plan
from fairlead.rollout.summary import Summary
from fairlead.serving.processes.status import Role

__all__ = ["command"]

_LOOK_SECONDS: Final = 0.05


@click.command("deploy")
@click.argument("ref", required=False)
@click.option("--endpoint", help="The public name; the model's where it is not given.")
@click.option("--strategy", type=click.Choice(STRATEGIES), help="direct: all traffic at once; the others in steps.")
@plan_options
@click.option("--plan", "file", metavar="FILE", help="The whole plan: .yaml, .toml, .json, or `-`.")
@click.option("--retry", default="", metavar="REASON", help="Try a version again that failed at this endpoint.")
@click.option("--supersede", is_flag=True, help="Take the place of a rollout that is under way.")
@click.option("--dry-run", is_flag=True, help="Say what would change and what it needs, and change nothing.")
@click.option(
    "--wait", "seconds", type=float, default=30.0, show_default=True, help="How long to wait for the gateways."
)
@json_option
@pass_invocation
def command(  # noqa: PLR0913 - one parameter an option
    invocation: Invocation,
    /,
    ref: str | None,
    endpoint: str | None,
    *,
    strategy: str | None,
    file: str | None,
    retry: str,
    seconds: float,
    supersede: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Let an endpoint answer with the version REF, such as flights:2.

    Without a strategy all traffic moves at once: with a running service it takes effect without a failed request; otherwise it is
    what `fairlead serve` starts with. With one, the version takes over step by step, and only if nothing is harmed. With
    `--plan FILE`, REF may be left out.
    """
    stores = invocation.stores()
    plan = _plan(stores, ref, endpoint, strategy, file, options)
    if plan is None or plan.strategy == "direct":
        if retry or supersede:
            raise InvalidInput(
                "--retry and --supersede are about rollouts, and a direct deployment is none.",
                hint="Leave them out, or add --strategy canary.",
            )
        wanted = (ref or "", endpoint) if plan is None else (plan.candidate, plan.endpoint)
        _deploy_direct(invocation, stores, *wanted, None if dry_run else seconds, as_json=as_json)
    elif dry_run:
        _print_dry_run(invocation.config(), stores, plan, retry, supersede=supersede, as_json=as_json)
    else:
        _begin(invocation.config(), stores, plan, retry, seconds, supersede=supersede, as_json=as_json)


def _plan(  # noqa: PLR0913, PLR0917 - all that may say it
    stores: Stores,
    ref: str | None,
    endpoint: str | None,
    strategy: str | None,
    file: str | None,
    options: dict[str, Any],
) -> Plan | None:
    """The plan; `None` for a direct deployment."""
    said = [
        f"--{name.replace('_', '-')}"
        for name, value in options.items()
        if value is not None and value != () and value is not False
    ]
    said = ["--metric" if name == "--metrics" else name for name in said]
    if file is not None:
        if said or strategy is not None:
            raise InvalidInput(
                f"{(said or ['--strategy'])[0]} and --plan say the same thing.", hint="Write it into the plan."
            )
        return plan_from_file(file, ref, endpoint)
    if ref is None:
        raise InvalidInput(
            "No version is named.", hint="`fairlead deploy MODEL:VERSION`; `fairlead models` lists them."
        )
    if strategy is None or strategy == "direct":
        if said:
            raise InvalidInput(
                f"{said[0]} is about a rollout, and a direct deployment is none.", hint="Add --strategy canary."
            )
        return None
    return plan_from_options(stores, ref, endpoint, strategy, options)


def _deploy_direct(  # noqa: PLR0913 - where, what, and how it is told
    invocation: Invocation,
    stores: Stores,
    ref: str,
    endpoint: str | None,
    seconds: float | None,
    *,
    as_json: bool,
) -> None:
    """Let all traffic move at once, and wait `seconds`; with `None`, only say what would be."""
    from fairlead.app import current_actor
    from fairlead.rollout.direct import deploy
    from fairlead.service import deliver_here, wait_for_gateways

    config, dry_run = invocation.config(), seconds is None
    deployment = deploy(stores.database, stores.blobs, ref, endpoint, actor=current_actor(), dry_run=dry_run)
    served: Counter[Role] = Counter()
    start = time.monotonic()
    if seconds is not None:
        deliver_here(config, stores)
        served = Counter(one.role for one in wait_for_gateways(config, stores, deployment.table.revision, seconds))
    elapsed = time.monotonic() - start
    if as_json:
        facts = {"endpoint": deployment.endpoint, "model": deployment.model, "former": deployment.former}
        shown = {**facts, "changed": deployment.changed, "revision": deployment.table.revision, "strategy": "direct"}
        print_json({**shown, "dry_run": dry_run, "gateways": served["gateway"], "mounts": served["mount"]})
        return
    before = f" (before: {', '.join(deployment.former)})" if deployment.former and deployment.changed else ""
    verb = "would answer" if dry_run and deployment.changed else "answers" if deployment.changed else "already answers"
    print_line(f"{deployment.endpoint} {verb} with {deployment.model}{before}")
    if not dry_run:
        say_gateways(served, deployment.table.revision, elapsed)


def _begin(  # noqa: PLR0913 - what, how, and how it is told
    config: Config, stores: Stores, plan: Plan, retry: str, seconds: float, *, supersede: bool, as_json: bool
) -> None:
    """Begin a rollout, and wait until every gateway has loaded its version."""
    from fairlead.app import current_actor
    from fairlead.rollout.operations import begin

    begun = begin(stores.database, stores.blobs, plan, actor=current_actor(), retry=retry, supersede=supersede)
    summary, gateways = _await_first_step(config, stores, begun.rollout.number, seconds)
    former = begun.superseded.number if begun.superseded else None
    if as_json:
        print_json({"rollout": summary, "superseded": former, "gateways": gateways, "dry_run": False})
        return
    print_standing(summary)
    if former is not None:
        say(f"  it takes the place of rollout {former}")
    if not gateways:
        say("  no service is running here; `fairlead serve` carries it out")
    say_next(summary)


def _await_first_step(config: Config, stores: Stores, number: int, seconds: float) -> tuple[Summary, int]:
    """Wait until the rollout is in its first step or over, or nobody is there to carry it out; who began it need not wait longer."""
    from fairlead.cli.rollouts.steering import read_summary
    from fairlead.service import service_status

    end = time.monotonic() + seconds
    while True:
        summary = read_summary(stores, number)
        gateways = len(service_status(config, stores).gateways)
        if summary.state not in {"pending", "warming"} or not gateways or time.monotonic() > end:
            return summary, gateways
        time.sleep(_LOOK_SECONDS)


def _print_dry_run(  # noqa: PLR0913 - as `_begin`
    config: Config, stores: Stores, plan: Plan, retry: str, *, supersede: bool, as_json: bool
) -> None:
    """Print the plan, whole, with what it needs as comments: what is printed is a plan again."""
    from fairlead.app import current_actor
    from fairlead.rollout.rehearsal import rehearse

    found = rehearse(
        stores.database,
        stores.blobs,
        config.paths.events,
        plan,
        actor=current_actor(),
        retry=retry,
        supersede=supersede,
    )
    if as_json:
        print_json({**msgspec.structs.asdict(found), "dry_run": True})
        return
    click.echo(found.yaml, nl=False)
    for sentence in found.sentences:
        print_line(f"# {sentence}")
    if found.superseded is not None:
        say(f"It would take the place of rollout {found.superseded}.")
    say("Nothing was changed.")
