"""When the fixed text of `on_failure` is an answer: where providers have failed, not where the request is at fault."""

from __future__ import annotations

from penstock import errors as e

__all__ = ["is_theirs"]

_THEIRS = (e.UpstreamError, e.CircuitOpen, e.DeadlineExceeded)
# Of these the caller has to hear: the same request fails again wherever it goes.
_CALLERS = (e.CallerError, e.UpstreamRefused, e.ContentFiltered)


def is_theirs(error: e.PenstockError) -> bool:
    """Whether it is for providers, or for what keeps them from being asked, that there is no answer."""
    if isinstance(error, e.EveryDeploymentFailed):
        return not isinstance(error.last, _CALLERS) and not _about_callers_own(error.last)
    return isinstance(error, _THEIRS) and not isinstance(error, _CALLERS) and not _about_callers_own(error)


def _about_callers_own(error: e.PenstockError | None) -> bool:
    """Whether it is the caller's own credential or account at the provider that is refused."""
    return isinstance(error, e.UpstreamCredential | e.UpstreamQuota) and error.callers_own
