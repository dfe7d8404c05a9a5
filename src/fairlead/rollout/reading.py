"""Plans from text and from flags, and back.

YAML, TOML, JSON and the flags of `fairlead deploy` give the same plain dictionary, and `plan_of` makes a plan of it or says what is
wrong and where. Nothing is ignored: an unknown field, a field given twice, a YAML alias and a bare number for a time are refused.

```
text ──▶ dictionary ──▶ Plan ──▶ complete ──▶ check
flags ─────▲             │
           └── plain ◀───┘
```
"""

from __future__ import annotations

import difflib
import json
import tomllib
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
import yaml

from fairlead.durations import parse_duration, write_duration
from fairlead.errors import InvalidInput
from fairlead.rollout.plan import Plan, Seconds, complete
from fairlead.rollout.rules import check

__all__ = ["KINDS", "Kind", "plain", "plan_from_flags", "plan_of", "read_plan", "read_values", "whole", "write_plan"]

Kind = Literal["yaml", "toml", "json"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_Made = TypeVar("_Made", bound=msgspec.Struct)

_LARGEST = 256 * 1024
"""No plan that a person wrote is longer, in characters."""


def read_plan(text: str, kind: Kind) -> Plan:
    """The plan of a file's text, complete and checked.

    Raises:
        InvalidInput: It is no text of this kind, or no plan; the message names field and value.
        BadReference: Its endpoint or its candidate has no legal name.
    """
    return plan_of(read_values(text, kind))


def read_values(text: str, kind: Kind) -> object:
    """What a text says, before anybody has looked whether it is a plan; no field stands in it twice.

    Raises:
        InvalidInput: It is no text of this kind.
    """
    if len(text) > _LARGEST:
        raise InvalidInput(f"The plan has {len(text)} characters.", hint=f"It may have {_LARGEST}.")
    try:
        return _READERS[kind](text)
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InvalidInput(f"The plan is not {kind.upper()}: {reason}.", hint="Correct it.") from error
    except RecursionError:
        raise InvalidInput("The plan is nested too deeply.", hint="Correct it.") from None


def plan_of(values: object) -> Plan:
    """The plan of a plain dictionary, complete and checked.

    Raises:
        InvalidInput: It is none.
        BadReference: Its endpoint or its candidate has no legal name.
    """
    plan = complete(_object(Plan, values, "The plan"))
    check(plan)
    return plan


def plan_from_flags(  # noqa: PLR0913 - one for each flag
    endpoint: str,
    candidate: str,
    strategy: str = "canary",
    *,
    steps: str | None = None,
    bake: str | None = None,
    samples: int | None = None,
    key: str | None = None,
    goal: str | None = None,
    label_delay: str | None = None,
    alpha: float | None = None,
    max_duration: str | None = None,
    on_inconclusive: str | None = None,
    keep_warm: str | None = None,
    promote: bool | None = None,
    audience: Mapping[str, object] | None = None,
    metrics: Sequence[Mapping[str, object]] = (),
) -> Plan:
    """The plan of a command line, complete and checked.

    Args:
        endpoint: The endpoint.
        candidate: The version.
        strategy: The pattern.
        steps: "1,10,approve,50", "mirror,5,25": weights, `mirror` or `mirror:20`, and `approve`.
        bake: How long each step lasts at least.
        samples: How many units the candidate must have answered in each step.
        key: By what requests are assigned, "header:x-user-id".
        goal: The metric from feedback that decides.
        label_delay: How long after the answer feedback counts.
        alpha: The chance of a false abort.
        max_duration: How long a step may wait for its verdicts.
        on_inconclusive: What happens then.
        keep_warm: How long the former version stays loaded.
        promote: Whether to promote without asking.
        audience: Whom it is for, as in a plan.
        metrics: What is measured, as in a plan; the strategy's own where there is none.

    Raises:
        InvalidInput: The flags make no plan.
        BadReference: The endpoint or the candidate has no legal name.
    """
    baking = _given(time=bake, samples=samples)
    if baking and steps is None:
        raise InvalidInput("`--bake` and `--samples` are about steps.", hint="Give the steps: `--steps 1,10,50`.")
    listed = None if steps is None else [_step(text.strip(), baking) for text in steps.split(",")]
    measured = list(metrics)
    if goal is not None:
        aim = _given(**{"name": goal, "from": "feedback", "role": "goal", "label_delay": label_delay})
        measured = [*(measured or [{"name": "error_rate"}]), aim]
    elif label_delay is not None:
        raise InvalidInput("`--label-delay` is about a goal from feedback.", hint="Give the goal: `--goal rating`.")
    assignment = _given(key=key)
    analysis = _given(alpha=alpha, max_duration=max_duration, on_inconclusive=on_inconclusive)
    rollback = _given(keep_warm=keep_warm)
    told = _given(strategy=strategy, steps=listed, metrics=measured or None, promote=promote, audience=audience or None)
    parts = {"assignment": assignment, "analysis": analysis, "rollback": rollback}
    return plan_of({"endpoint": endpoint, "candidate": candidate, **told, **{k: v for k, v in parts.items() if v}})


def plain(plan: Plan) -> dict[str, Any]:
    """The plan as people write it; `plan_of` makes the same plan of it."""
    return _told(plan)


def whole(plan: Plan) -> dict[str, Any]:
    """The plan as `plain`, with all that holds though nobody said it."""
    metrics = [{"name": one.name, "role": one.role, **_told(one)} for one in plan.metrics]
    told: dict[str, Any] = {
        **_told(plan),
        "strategy": plan.strategy,
        "assignment": _all_told(plan.assignment),
        "steps": [_told(one) for one in plan.steps],
        "metrics": metrics,
        "analysis": _all_told(plan.analysis),
        "rollback": _all_told(plan.rollback),
        "promote": plan.promote,
    }
    return {field.name: told[field.name] for field in msgspec.structs.fields(Plan) if field.name in told}


def write_plan(plan: Plan) -> str:
    """The whole plan as the YAML that `read_plan` takes."""
    return yaml.safe_dump(_short(whole(plan)), sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)


def _all_told(value: msgspec.Struct) -> dict[str, Any]:
    """A structure with what is at its default; what is not set stays out."""
    fields = msgspec.structs.fields(type(value))
    told = {field.encode_name: _told_entry(field.type, getattr(value, field.name)) for field in fields}
    return {name: one for name, one in told.items() if one is not None}


def _short(value: Any) -> Any:
    """Numbers as people write them: 1 and not 1.0."""
    if isinstance(value, dict):
        return {name: _short(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_short(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _given(**flags: object) -> dict[str, object]:
    return {name: value for name, value in flags.items() if value is not None}


def _step(text: str, bake: dict[str, object]) -> dict[str, object]:
    if text == "approve":
        return {"approve": True}
    name, _, number = text.rpartition(":") if text.startswith("mirror:") else ("weight", "", text)
    if text == "mirror":
        name, number = "mirror", "100"
    try:
        share = float(number)
    except ValueError:
        raise InvalidInput(
            f"{text!r} is no step.",
            hint="Steps are weights in percent, `mirror` and `approve`: `mirror,1,10,approve,50`.",
        ) from None
    return {name: share, **({"bake": bake} if bake else {})}


def _object(kind: type[_Made], value: object, where: str) -> _Made:
    """`value` as a structure, each field with its own message."""
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{where} is {_shown(value)}: it must have fields.", hint=f"Its fields: {_names(kind)}.")
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    made: dict[str, Any] = {}
    for name, given in value.items():
        field = fields.get(name)
        if field is None:
            raise InvalidInput(
                f"{where} has the unknown field {_shown(name)}.", hint=_nearest(name, fields), field=name
            )
        made[field.name] = _entry(field.type, given, f"{where}, {name}", name)
    missing = [name for name, field in fields.items() if field.required and field.name not in made]
    if missing:
        raise InvalidInput(f"{where} has no {missing[0]!r}.", hint="Add it.", field=missing[0])
    return kind(**made)


def _entry(kind: Any, value: object, where: str, name: str) -> object:
    """`value` as one field's type."""
    inner = _without_none(kind)
    if value is None and inner is not kind:
        return None
    if inner == Seconds:
        return _seconds(value, where, name)
    if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
        return _object(inner, value, where)
    if get_origin(inner) is tuple and isinstance(value, list | tuple):
        item = get_args(inner)[0]
        return tuple(_entry(item, one, f"{where} {number}", name) for number, one in enumerate(value, 1))
    if get_origin(inner) is Literal and value not in get_args(inner):
        raise InvalidInput(f"{where} is {_shown(value)}.", hint=_nearest(value, get_args(inner)), field=name)
    try:
        return msgspec.convert(value, inner)
    except msgspec.ValidationError as error:
        reason = str(error)
        raise InvalidInput(
            f"{where} is {_shown(value)}: {reason[0].lower()}{reason[1:]}.", hint="Correct it.", field=name
        ) from error


def _seconds(value: object, where: str, name: str) -> float:
    try:
        return 0.0 if value == "0s" else parse_duration(value if isinstance(value, str) else str(value))
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error.detail}", hint=error.hint, field=name) from None


def _without_none(kind: Any) -> Any:
    """`X` of `X | None`; other unions as they are, because `None` may be a value of theirs."""
    if get_origin(kind) in {types.UnionType, Union}:
        others = [one for one in get_args(kind) if one is not types.NoneType]
        if len(others) == 1 and len(get_args(kind)) == 2:
            return others[0]
    return kind


def _names(kind: type[msgspec.Struct]) -> str:
    return ", ".join(field.encode_name for field in msgspec.structs.fields(kind))


def _nearest(name: object, known: Iterable[object]) -> str:
    names = [str(one) for one in known]
    close = difflib.get_close_matches(str(name)[:100], names, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(names)}."


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _told(value: msgspec.Struct) -> dict[str, Any]:
    """A structure without what is at its default."""
    told: dict[str, Any] = {}
    for field in msgspec.structs.fields(type(value)):
        found = getattr(value, field.name)
        if field.required or found != _default(field):
            told[field.encode_name] = _told_entry(field.type, found)
    return told


def _default(field: msgspec.structs.FieldInfo) -> object:
    return field.default_factory() if callable(field.default_factory) else field.default


def _told_entry(kind: Any, value: object) -> object:
    if _without_none(kind) == Seconds and isinstance(value, float | int):
        return write_duration(value)
    if isinstance(value, msgspec.Struct):
        return _told(value)
    if isinstance(value, tuple):
        return [_told(one) if isinstance(one, msgspec.Struct) else one for one in value]
    return value


class _PlainLoader(yaml.SafeLoader):
    """YAML without what surprises: no field twice, no aliases, no merging."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias (`*name`) may not stand in a plan")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's
        made: dict[Any, Any] = {}
        for key, value in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                raise yaml.YAMLError(f"{name!r} is no name of a field")
            if name in made:
                raise yaml.YAMLError(f"the field {name!r} stands twice")
            made[name] = self.construct_object(value, deep=deep)
        return made


def _from_yaml(text: str) -> object:
    return yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader that takes less


def _from_json(text: str) -> object:
    return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made: dict[str, object] = {}
    for name, value in pairs:
        if name in made:
            raise ValueError(f"the field {name!r} stands twice")
        made[name] = value
    return made


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


_READERS: dict[Kind, Callable[[str], object]] = {"yaml": _from_yaml, "toml": tomllib.loads, "json": _from_json}
