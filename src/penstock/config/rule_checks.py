"""What rules mean to each other and to the rest: refused where they contradict each other or lead nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.config.amounts import amount_text
from penstock.config.naming import leads_somewhere
from penstock.config.pricing import Pricing
from penstock.config.rule_doubts import Callers, callers_of, doubt_rules
from penstock.config.rule_reach import doubt_reach
from penstock.config.rules import LEAST_TOKENS, Ceiling, Ruled, Written
from penstock.config.schema import Config
from penstock.config.tree import Node, Problems
from penstock.providers.catalogue import load_catalogue
from penstock.providers.prices import Price
from penstock.providers.rates import Rates
from penstock.reservation import RequestBudget, Rule
from penstock.routing.names import Names
from penstock.routing.nearest import did_you_mean, quoted
from penstock.routing.scopes import Facts, Rules, family
from penstock.usage import Usage

__all__ = ["check_rules"]

_SPANS = {1: "second", 60: "minute", 3600: "hour", 86400: "day"}
# Nano-dollars that the least call of the dearest model stays far below: what is more need not be looked up.
_CERTAINLY_ENOUGH = 50_000_000


def check_rules(
    problems: Problems, rules: Ruled, config: Config, names: Names, *, serving: bool, callers: Callers | None = None
) -> None:
    """Every rule of `limits:` and `budgets:`.

    Args:
        serving: as `doubt_rules` has it.
        callers: who may call; None: those that the configuration declares, and no others.
    """
    _check_overlaps(problems, rules)
    for each in rules.written:
        if each.rule.match and "*" not in each.rule.match:
            _check_match(problems, each, config, names)
        _check_soft(problems, each, config, names)
    _check_loops(problems, rules.written)
    _check_least(problems, rules, config)
    doubt_rules(problems, rules, config, callers or callers_of(config), serving=serving)
    doubt_reach(problems, rules.written, config, names)


# --- two of the same


def _check_overlaps(problems: Problems, rules: Ruled) -> None:
    """Two of the same window: nobody could tell which one is meant."""
    first: dict[object, Written | Ceiling] = {}
    for written in rules.written:
        rule = written.rule
        window = rule.period or str(rule.seconds)
        _once(problems, first, (rule.scope, rule.match, family(rule), window), written, _told(rule))
    for ceiling in rules.ceilings:
        budget = ceiling.budget
        what = f"a limit of {'dollars' if budget.unit == 'usd' else budget.unit} for one request"
        told = f"{what} of key {quoted(budget.key)}" if budget.key else what
        _once(problems, first, (budget.key, budget.unit), ceiling, told)


def _once(
    problems: Problems, first: dict[object, Written | Ceiling], which: object, each: Written | Ceiling, told: str
) -> None:
    other = first.setdefault(which, each)
    if other is not each:
        place = other.node.place
        where = f"on line {place.line}" if place.line else f"at {place}"
        problems.add(each.node.place, f"{told} stands there twice: {where} as well, and only one can hold")


def _told(rule: Rule) -> str:
    """`a limit of requests by the minute for tenant "acme"`."""
    if rule.kind == "concurrency":
        what = "calls at a time"
    elif rule.kind == "budget":
        what = f"{'dollars' if rule.unit == 'usd' else rule.unit} by the {rule.period}"
    else:
        what = f"{rule.unit} by the {_SPANS[rule.seconds]}"
    whom = f"{rule.scope} {quoted(rule.match)}" if rule.match else f"each {rule.scope}"
    return f"a limit of {what} for {'everything' if rule.scope == 'global' else whom}"


# --- where they lead


def _check_match(problems: Problems, each: Written, config: Config, names: Names) -> None:
    """Of what the configuration alone can declare a name that is not there is misspelt."""
    rule, name = each.rule, each.rule.match
    node = each.matched
    provider, _, model = name.partition("/")
    if rule.scope == "provider" and name not in config.providers:
        problems.add(node.place, f"no provider is named {quoted(name)}{did_you_mean(name, config.providers)}")
    elif rule.scope == "deployment" and (provider not in config.providers or not model):
        known = [str(target) for route in config.models.values() for target in route.targets]
        near = did_you_mean(name, [*known, *(f"{other}/{model}" for other in config.providers if model)])
        problems.add(node.place, f"{quoted(name)} is no deployment: write provider/model{near}")
    elif rule.scope == "model" and not leads_somewhere(name, config, names):
        problems.add(node.place, f"{quoted(name)} is no model that can be asked for{did_you_mean(name, config.models)}")
    elif rule.scope == "tag" and "=" not in name:
        problems.add(node.place, f"{quoted(name)} is no tag: write name=value, or name=*")


def _check_soft(problems: Problems, each: Written, config: Config, names: Names) -> None:
    """`on_soft:`, which is for budgets that are not hard."""
    rule, node = each.rule, each.fields.get("on_soft")
    if node is None:
        return
    if rule.hard:
        problems.add(node.key, "on_soft is for a budget that is not hard: write hard: false, or leave it out")
    if rule.downgrade and not leads_somewhere(rule.downgrade, config, names):
        near = did_you_mean(rule.downgrade, config.models)
        place = _mapping(node).get("downgrade", node).place
        problems.add(place, f"downgrade leads to {quoted(rule.downgrade)}, which is no model{near}")


def _mapping(node: Node) -> Mapping[str, Node]:
    return node.value if isinstance(node.value, dict) else {}


def _check_loops(problems: Problems, written: Sequence[Written]) -> None:
    """A budget of a model that leads to itself, at once or by way of others."""
    of = {each.rule.id: each for each in written if each.rule.downgrade and each.rule.scope == "model"}
    rules = Rules(each.rule for each in written if each.rule.scope == "model" and each.rule.kind == "budget")
    told: set[str] = set()
    for each in of.values():
        path = [each.rule.match if each.rule.match and "*" not in each.rule.match else each.rule.downgrade]
        while (onwards := _downgraded(rules, path[-1])) and onwards not in path:
            path.append(onwards)
        if not onwards or onwards in told:
            continue
        loop = path[path.index(onwards) :]
        told |= set(loop)
        node = each.fields["on_soft"]
        shown = " -> ".join((*loop, onwards))
        problems.add(_mapping(node).get("downgrade", node).place, f"downgrade loops: {shown}")


def _downgraded(rules: Rules, model: str) -> str:
    """What is asked instead of a model; "" for nothing else. A rule of all models ends at the one it leads to."""
    held = (rule for rule, _ in rules.of(Facts(model=model)) if rule.downgrade)
    return next((rule.downgrade for rule in held if rule.downgrade != model or rule.match == model), "")


# --- what nobody could ever use


def _check_least(problems: Problems, rules: Ruled, config: Config) -> None:
    """A budget that is smaller than the least call of the cheapest model."""
    limits: list[tuple[Node, Rule | RequestBudget]] = [
        (each.fields["limit"], each.rule) for each in rules.written if each.rule.kind == "budget"
    ]
    limits += [(each.fields["limit"], each.budget) for each in rules.ceilings]
    small = [(node, limit.limit) for node, limit in limits if limit.unit == "usd" and limit.limit < _CERTAINLY_ENOUGH]
    least = _least_cost(config) if small else 0
    # Who may ask for a provider's models by themselves may know a cheaper one.
    closed = config.auth == "required" and all(set(key.models or ()) <= set(config.models) for key in config.keys)
    tell = problems.add if closed else problems.doubt
    for node, limit in small:
        if limit < least:
            tell(
                node.place,
                f"{amount_text(limit, 'usd')} is less than one request costs: the cheapest target takes"
                f" {amount_text(least, 'usd')} for {LEAST_TOKENS - 1} tokens of output",
            )


def _least_cost(config: Config) -> int:
    """Nano-dollars of the least call of the cheapest target; 0 where something may cost nothing, or nobody knows."""
    pricing = Pricing(config, load_catalogue())
    targets = {target for route in config.models.values() for target in route.targets}
    prices = [pricing.of(*target) for target in targets if target.provider in config.providers]
    return min((_cost(price) for price in prices), default=0)


def _cost(price: Price | None) -> int:
    if price is None:
        return 0
    least = Usage(input_tokens=1, output_tokens=LEAST_TOKENS - 1)
    return min(Rates(prices).cost(least) for _, prices in price.periods)
