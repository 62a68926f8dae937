"""`/api/v1/limits` and `/api/v1/budgets`: how much may be asked for, and how much used.

In the words of the configuration file, each as it would stand under `limits:` or `budgets:`. What the file declares is
shown with its place, and changed there; what is made here holds beside it at once, on every worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from penstock.admin.bodies import read_fields, tag_of, version_asked
from penstock.admin.grants import tenant_for
from penstock.admin.moments import written
from penstock.admin.operations import PAGING, Operation, Query, json, principal_of, resource
from penstock.admin.overview import Overview
from penstock.admin.pages import joined_page
from penstock.admin.register import Register
from penstock.admin.rights import Principal
from penstock.admin.rule_bounds import require_own
from penstock.admin.rule_fills import ACCOUNTS, accounts_of, describe_fills
from penstock.config.rule_doubts import Callers, callers_of
from penstock.config.rule_keys import RULE_SECTIONS
from penstock.config.rule_review import Entry, Finding, Findings, beside, declared_entries, review
from penstock.config.show_rules import show_budget, show_limit, show_request_budget
from penstock.config.stored_rules import (
    Compiled,
    compile_rule,
    compile_stored,
    declared_windows,
    placed,
    tenant_of,
    wrong,
)
from penstock.errors import Conflict, Forbidden, InvalidRequest, NotFound
from penstock.redact import as_asked
from penstock.reservation import Rule
from penstock.routing.nearest import did_you_mean, quoted
from penstock.stores.fill import Fills
from penstock.stores.rulebook import Kind, StoredRule

__all__ = ["MOST_OWN", "RuleRoutes"]

_DECLARED = "declared:"
# Each call is held against all of them: of one tenant's own, and of the operators'.
MOST_OWN, MOST_STORED = 1_000, 10_000
_LISTING = (*PAGING, Query("tenant", "That one's alone.", {"type": "string"}), ACCOUNTS)


class RuleRoutes:
    """The operations on limits, or on budgets.

    Args:
        fills: who knows how full their accounts are; None: nobody does.
    """

    def __init__(self, register: Register, overview: Overview, kind: Kind, fills: Fills | None = None) -> None:
        self._fills = fills
        # What is checked against the others must be kept before the next is.
        self._changing = asyncio.Lock()
        self._register = register
        self._overview = overview
        self._kind: Kind = kind
        self._path = f"/api/v1/{kind}s"

    def operations(self) -> tuple[Operation, ...]:
        """For the table."""
        kind, path = self._kind, self._path
        one, name = f"{path}/{{id}}", kind.capitalize()
        return (
            Operation(path, f"list_{kind}s", "Those there are.", self.listed, "Rules", query=_LISTING),
            Operation(
                path, f"create_{kind}", "Make one; it holds at once.", self.create, "Rule",
                method="POST", takes=f"New{name}", made=True,
            ),
            Operation(one, f"show_{kind}", "One of them.", self.show, "Rule", query=(ACCOUNTS,)),
            Operation(
                one, f"change_{kind}", "Change what is said; null takes a word away.", self.change, "Rule",
                method="PATCH", takes=f"{name}Change", match="must",
            ),
            Operation(
                one, f"remove_{kind}", "Take it away; what it was is told once more.", self.remove, "Rule",
                method="DELETE", match="must",
            ),
        )  # fmt: skip

    async def listed(self, request: Request) -> Response:
        """A page of them: what is declared, in the file's order, then what is stored."""
        principal, query, most = principal_of(request), request.query_params, accounts_of(request.query_params)
        tenant = tenant_for(principal, query.get("tenant", ""))

        def seen(told: dict[str, Any]) -> bool:
            return not tenant or told["tenant"] == tenant

        async def stored(after: str, most: int) -> list[dict[str, Any]]:
            rows = [each for each in await self._register.rules.all() if each.kind == self._kind and each.id > after]
            return [told for told in map(self._describe, rows) if seen(told)][:most]

        page = await joined_page(query, [told for told in self._declared() if seen(told)], stored)
        return json(page | {"data": await self._filled(page["data"], most)})

    async def show(self, request: Request) -> Response:
        """One of them."""
        id, principal, most = request.path_params["id"], principal_of(request), accounts_of(request.query_params)
        if id.startswith(_DECLARED):
            return resource((await self._filled([self._declared_one(id, principal)], most))[0])
        found = await self._get(id, principal)
        entry, compiled = _entry(found), compile_stored(found)
        known = [each for each in await self._register.rules.all() if each.id != id]
        others = [_entry(each) for each in known if beside(compiled, compile_stored(each))]
        doubts = await self._review(entry._replace(name=""), others, principal, made=True)
        (told,) = await self._filled([self._describe(found) | {"warnings": doubts}], most)
        return resource(told)

    async def create(self, request: Request) -> Response:
        """Make one."""
        body, principal = read_fields(request), principal_of(request)
        for name, value in body.items():
            if value is None:
                raise wrong(name, "null takes a word away, and there is none yet: leave it out")
        async with self._changing:
            compiled, doubts = await self._checked(body, principal, "")
            rule = StoredRule("", self._kind, _tenant(compiled), principal.tenant, body, 0, principal.name, 0)
            made = await self._register.rules.create(rule, note=self._register.audit.noting(principal.who))
        await self._kept()
        return resource(self._describe(made) | {"warnings": doubts}, f"{self._path}/{made.id}")

    async def change(self, request: Request) -> Response:
        """Change it."""
        fields, principal = read_fields(request), principal_of(request)
        known = RULE_SECTIONS[self._kind]
        for name in fields:
            if name not in known:
                raise wrong(name, f"unknown key {quoted(name)}{did_you_mean(name, known)}")
        async with self._changing:
            before = await self._own(request, principal)
            version = version_asked(request)
            body = {name: value for name, value in {**before.body, **fields}.items() if value is not None}
            compiled, doubts = await self._checked(body, principal, before.id)
            rule = msgspec.structs.replace(before, body=body, tenant=_tenant(compiled))
            after = await self._register.rules.change(rule, version, note=self._register.audit.noting(principal.who))
        await self._kept()
        return resource(self._describe(after) | {"warnings": doubts})

    async def remove(self, request: Request) -> Response:
        """Take it away."""
        principal = principal_of(request)
        before = await self._own(request, principal)
        gone = await self._register.rules.remove(
            self._kind, before.id, version_asked(request), note=self._register.audit.noting(principal.who)
        )
        await self._kept()
        return json(self._describe(gone) | {"etag": None})

    # ---

    async def _kept(self) -> None:
        await self._register.audit.seal()
        await self._register.use(self._path)

    async def _checked(self, body: dict[str, Any], principal: Principal, id: str) -> tuple[Compiled, list[str]]:
        """What it becomes, if it may be made, or the one of that id become it; and what is doubtful about it."""
        compiled = compile_rule(self._kind, body)
        stored = [(each, compile_stored(each)) for each in await self._register.rules.all() if each.id != id]
        most = MOST_OWN if principal.tenant else MOST_STORED
        if not id and sum(each.owner == principal.tenant for each, _ in stored) >= most:
            raise Conflict(
                f"there are {most:,} limits and budgets", do="Change or remove one; a pattern holds for many."
            )
        config = self._overview.config
        declared = [rule for rule in config.rules if rule.where]
        if principal.tenant:  # first, so that nothing is told of others' rules
            theirs = [rule for each, made in stored if not each.owner for rule in made.rules]
            require_own(principal.tenant, compiled, [*declared, *theirs])
        taken = declared_windows(config)
        for each, made in stored:
            taken |= dict.fromkeys(made.windows, f"{each.kind} {each.id}")
        for window in compiled.windows & taken.keys():
            raise Conflict(f"the same is said by {taken[window]}", do="Change that one.", param="scope")
        for rule in compiled.rules:
            self._check_model(rule, principal)
        others = [_entry(each) for each, made in stored if beside(compiled, made)]
        return compiled, await self._review(Entry("", self._kind, body), others, principal)

    async def _review(
        self, entry: Entry, others: list[Entry], principal: Principal, *, made: bool = False
    ) -> list[str]:
        """What is doubtful since there is that one.

        Args:
            made: it is there already: what is wrong with it by now is told with the rest.

        Raises:
            InvalidRequest: it contradicts the others, or the configuration.
        """
        config, names = self._overview.config, self._overview.names
        callers = await self._callers(entry.body, principal)
        others = [*declared_entries(config), *others]

        def held() -> Findings:
            return review([*others, entry], config, names, callers).without(review(others, config, names, callers))

        # A thousand rules take a fifth of a second, and requests may be answered on this loop.
        found = await asyncio.to_thread(held)
        if found.wrong and not made:
            raise wrong(found.wrong[0].path, found.wrong[0].message)
        # Of what others have made a tenant's own hears nothing.
        seen = (each for each in (*found.wrong, *found.doubtful) if not (principal.tenant and each.entry))
        return [_told(each) for each in seen]

    async def _callers(self, body: Mapping[str, Any], principal: Principal) -> Callers:
        """Who may call, as far as it is the business of whoever asks."""
        said = body.get("match")
        names = [each for each in (said if isinstance(said, list) else [said]) if isinstance(each, str)]
        declared = callers_of(self._overview.config)
        stored = await self._register.directory.callers(names)
        trusted = declared.trusted or stored.trusted
        if principal.tenant:
            return Callers((principal.tenant,), stored.keys, trusted)
        return Callers(stored.tenants.union(declared.tenants), stored.keys.union(declared.keys), trusted)

    def _check_model(self, rule: Rule, principal: Principal) -> None:
        """See that a tenant's own sends nobody to what its keys may not have."""
        if principal.tenant and rule.downgrade and rule.downgrade not in self._overview.config.models:
            raise Forbidden("on_soft may name names under `models:` alone", do="Name one of them.", param="on_soft")

    async def _get(self, id: str, principal: Principal) -> StoredRule:
        found = await self._register.rules.get(self._kind, id)
        if not principal.sees(found.tenant):
            raise _missing(self._kind, id)
        return found

    async def _own(self, request: Request, principal: Principal) -> StoredRule:
        """One that it may change; raises NotFound, Forbidden, and Conflict for what the file declares."""
        id = request.path_params["id"]
        if id.startswith(_DECLARED):
            told = self._declared_one(id, principal)
            raise Conflict(f"that {self._kind} is declared at {told['declared']}", do="Change it there.")
        found = await self._get(id, principal)
        if principal.tenant and found.owner != principal.tenant:
            raise Forbidden(f"that {self._kind} was made by an operator", do="Ask one to change it.")
        return found

    async def _filled(self, told: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
        """The same with the fullest accounts of each, up to so many."""
        if self._fills is None or not most:
            return told
        of = [() if each["shadowed_by"] else self._rules_of(each) for each in told]
        fills = iter(await self._fills.fullest([rule for rules in of for rule in rules], most))
        return [
            each | {"accounts": describe_fills([(rule, next(fills)) for rule in rules], most)}
            for each, rules in zip(told, of, strict=True)
        ]

    def _rules_of(self, told: dict[str, Any]) -> tuple[Rule, ...]:
        if told["declared"] is None:
            return compile_rule(self._kind, told["rule"]).rules
        declared = (rule for rule in self._overview.config.rules if rule.where)
        return tuple(rule for rule in declared if _declared_id(rule.id) == told["id"])

    # --- as JSON

    def _describe(self, rule: StoredRule) -> dict[str, Any]:
        shadow = self._shadow(rule)
        return {
            "id": rule.id,
            "rule": rule.body,
            "tenant": rule.tenant or None,
            "created": written(rule.created),
            "created_by": rule.created_by,
            "declared": None,
            "shadowed_by": shadow,
            "etag": tag_of(rule.version),
        }

    def _shadow(self, rule: StoredRule) -> str | None:
        """Where the file says the same, so that this one does not hold."""
        try:
            windows = compile_rule(rule.kind, rule.body).windows
        except InvalidRequest as error:
            return f"this version: {error.message}"
        declared = declared_windows(self._overview.config)
        return next((where for window, where in declared.items() if window in windows), None)

    def _declared(self) -> list[dict[str, Any]]:
        config = self._overview.config
        found = []
        for rule in config.rules:
            if rule.where and (rule.kind == "budget") == (self._kind == "budget"):
                shown = show_budget(rule) if rule.kind == "budget" else show_limit(rule)
                found.append(_declared(rule.id, shown, tenant_of(rule), rule.where))
        if self._kind == "budget":
            for budget in config.request_budgets:
                if budget.where:
                    shown = show_request_budget(budget) | ({"key": budget.key} if budget.key else {})
                    found.append(_declared(f"request {budget.unit} {budget.key}", shown, "", budget.where))
        return found

    def _declared_one(self, id: str, principal: Principal) -> dict[str, Any]:
        for told in self._declared():
            if told["id"] == id and principal.sees(told["tenant"]):
                return told
        raise _missing(self._kind, id)


def _declared(id: str, shown: dict[str, object], tenant: str, where: str) -> dict[str, Any]:
    return {
        "id": _declared_id(id),
        "rule": shown,
        "tenant": tenant or None,
        "created": None,
        "created_by": None,
        "declared": where,
        "shadowed_by": None,
        "etag": None,
    }


def _declared_id(id: str) -> str:
    """Of its own id, which holds what a path cannot."""
    return f"{_DECLARED}{sha256(id.encode()).hexdigest()[:16]}"


def _entry(rule: StoredRule) -> Entry:
    return Entry(f"{rule.kind} {rule.id}", rule.kind, rule.body)


def _told(found: Finding) -> str:
    told = placed(found.path, found.message)
    return f"{found.entry}: {told}" if found.entry else told


def _tenant(compiled: Compiled) -> str:
    """Whose all of it is; "" where it is nobody's alone."""
    tenants = {tenant_of(rule) for rule in compiled.rules}
    return tenants.pop() if len(tenants) == 1 else ""


def _missing(kind: Kind, id: str) -> NotFound:
    return NotFound(f"there is no {kind} {as_asked(id)}", do=f"GET /api/v1/{kind}s lists those there are.")
