"""How often verdicts were looked at: who adds repetitions until the answer pleases must want more evidence."""

import contextlib
from collections.abc import Mapping
from typing import Any

from hpo.comparison.plan import Plan
from hpo.comparison.result import Comparison
from hpo.comparison.statistics.effort import fewest_repetitions
from hpo.comparison.statistics.pair_tests import Looks
from hpo.database.study_database import StudyDatabase
from hpo.errors import HpoError

LOOKS: Mapping[Looks, str] = {
    "once": "one look, at the number of repetitions that was fixed before",
    "any": "the p-values hold at any number of looks",
    "again": "repetitions were added after a look: the p-values hold at any number of looks, half of alpha being spent",
}


def looks_of(database: StudyDatabase, study: str, plan: Plan, n_complete: int) -> Looks:
    """How often the repetitions of a plan are looked at, by what the database remembers.

    Args:
        database: where looks are noted.
        study: with its version.
        plan: what is compared.
        n_complete: repetitions that are complete.
    """
    earlier = [
        look
        for look in database.looks(study)
        if look["trials"] == plan.trials
        and look["resplit"] == plan.resplit
        and look["repetitions"] < n_complete
        and len(set(look["samplers"]) & set(plan.labels)) > 1
    ]
    if any(look["looks"] == "once" for look in earlier):
        return "again"
    return "any" if earlier or plan.until_known or n_complete < plan.repetitions else "once"


def note_look(database: StudyDatabase, comparison: Comparison) -> None:
    """Note a look at which something could have been called real; a database that cannot be written stays as it is."""
    plan, rules = comparison.plan, comparison.rules
    if comparison.repetitions < fewest_repetitions(1, rules.paired, rules.alpha):
        return
    what: dict[str, Any] = {
        "samplers": sorted(plan.labels),
        "trials": plan.trials,
        "resplit": plan.resplit,
        "repetitions": comparison.repetitions,
        "looks": rules.looks,
    }
    with contextlib.suppress(HpoError):
        database.record_look(comparison.study, what)
