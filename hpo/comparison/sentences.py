"""What a comparison says in plain words: conclusions, warnings, and the table for people."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo.comparison import measures
from hpo.comparison.findings import Findings
from hpo.comparison.statistics.effort import fewest_repetitions
from hpo.units import NOTHING, Metric, counted, format_duration, format_size, rough_text, share_text

FEW = 10  # repetitions below which a reader is warned
_MOST_REPETITIONS = 100  # beyond, their number is too uncertain to be of use
_MOST_OVERTUNED = 0.1  # share of repetitions that is worth a warning


@dataclass(frozen=True)
class Conclusions:
    """One sentence for each question.

    Attributes:
        answers: is tuning worth it, and is one sampler better than another.
        advice: which sampler to use, and what more or fewer trials bring.
    """

    answers: tuple[str, ...]
    advice: tuple[str, ...]


def conclusions(findings: Findings) -> Conclusions:
    """What the numbers say, in words."""
    pairs = [_pair(findings, row) for row in findings.verdicts.to_dict("records")]
    advice = [_choice(findings), *_budget(findings)]
    savings = [_saving(row) for row in findings.pruned.to_dict("records")]
    return Conclusions((_worth(findings), *pairs, *savings), tuple(filter(None, advice)))


# --- is tuning worth it ---


def _worth(findings: Findings) -> str:
    chosen = findings.recommended
    (row,) = findings.worth[findings.worth["sampler"] == chosen].to_dict("records")
    where, ours, usual = _held_out(findings, chosen, "reference")
    numbers = f"{where} {ours} with {chosen} against {usual} with the reference"
    study, verdict = findings.study, row["verdict"]
    if findings.repetitions == 1:
        return f"{study}: {numbers}, in one repetition: no verdict."
    share = _wins(findings, row, paired=True)
    if verdict == "real" and row["better"] == chosen:
        return f"Tuning is worth it on {study}: {numbers}; it is better in {share}."
    if verdict == "real":
        return f"Tuning does harm on {study}: {numbers}; it is better in {share} only."
    if verdict in {"equivalent", "no difference"}:
        return f"Tuning makes no difference that matters on {study}: {numbers}."
    return f"Too early to say whether tuning {study} is worth it: {numbers}, better in {share}; {_doubt(row)}."


def _held_out(findings: Findings, sampler: str, against: str) -> tuple[str, str, str]:
    """What is compared, in words, and the medians of both; on the sealed test rows where they were scored."""
    metric, finals = findings.metric, findings.finals
    column = "test" if findings.has_test else "value"

    def median(label: str) -> float:
        values = findings.reference if label == "reference" else finals[finals["sampler"] == label]
        return float(values[column].median())

    labels = (sampler, against)
    texts = metric.texts([median(label) for label in labels])
    errors = [_off(float(findings.test_errors.get(label, math.nan))) for label in labels]
    where = f"held-out {metric.label}" if findings.has_test else f"{metric.label} on validation rows"
    return where, texts[0] + errors[0], texts[1] + errors[1]


def _wins(findings: Findings, row: dict[str, Any], *, paired: bool) -> str:
    """How often the first has the lower loss, on the rows that the sentence speaks of."""
    name = "test_superiority" if findings.has_test else "superiority"
    if paired:
        ties = ", ties counting half" if row["ties"] else ""
        return f"{share_text(row[name])} of {counted(findings.repetitions, 'repetition')}{_percent(row, name)}{ties}"
    return f"{share_text(row[name])} of pairs of runs{_percent(row, name)}"


def _percent(row: dict[str, Any], name: str = "superiority") -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "" if math.isnan(low) else f" [{100 * low:.0f}, {100 * high:.0f}]"


def _doubt(row: dict[str, Any]) -> str:
    needed, low, high = row["required_repetitions"], row["required_low"], row["required_high"]
    if math.isnan(needed):
        return str(row["reason"])
    if math.isinf(needed):
        rows = "; more repetitions would not tell, more test rows might" if _is_luck(row) else ""
        return f"{row['reason']}{rows}"
    if low > _MOST_REPETITIONS:
        return f"{row['reason']}; plan for more than {_MOST_REPETITIONS} repetitions"
    if high > _MOST_REPETITIONS:
        return f"{row['reason']}; plan for {low:.0f} repetitions or more, perhaps beyond {_MOST_REPETITIONS}"
    if f"{low:.0f}" == f"{high:.0f}":
        return f"{row['reason']}; plan for about {low:.0f} repetitions"
    return f"{row['reason']}; plan for {low:.0f} to {high:.0f} repetitions"


def _is_luck(row: dict[str, Any]) -> bool:
    """Whether the luck of the test rows alone could make the difference that there is."""
    return bool(abs(row["test_difference"]) < 3 * row["row_luck"])  # False of NaN


# --- which sampler ---


def _pair(findings: Findings, row: dict[str, Any]) -> str:
    sampler, against, verdict = row["sampler"], row["against"], row["verdict"]
    where, ours, theirs = _held_out(findings, sampler, against)
    if findings.repetitions == 1:
        return f"{sampler} against {against}: one repetition shows curves and nothing more."
    share = _wins(findings, row, paired=findings.plan.resplit)
    if verdict == "no difference":
        return f"{sampler} and {against}: no difference, every repetition ends the same."
    if verdict == "equivalent":
        return (
            f"{sampler} and {against} are equivalent: their difference in {where} is within the margin of "
            f"{findings.plan.margin:g} ({ours} against {theirs})."
        )
    if verdict == "real":
        worse = against if row["better"] == sampler else sampler
        wins = f"{sampler} wins {share}"
        return f"{row['better']} beats {worse}: real. {wins}, {where} {ours} against {theirs}{_speed(findings, row)}."
    return f"{sampler} against {against}: cannot tell yet. {sampler} wins {share}; {_doubt(row)}."


def _speed(findings: Findings, row: dict[str, Any]) -> str:
    """How many times the trials random search would need."""
    if row["against"] != findings.plan.random or row["better"] != row["sampler"]:
        return ""
    found = findings.table.set_index("sampler").loc[row["sampler"]]
    speed, low, high = found["speedup"], found["speedup_low"], found["speedup_high"]
    if math.isnan(speed) or math.isnan(low):
        return ""
    pool = "" if math.isnan(found["pool"]) else f", by its rank among {found['pool']:.0f} random trials on each split"
    if math.isinf(speed):
        return f"; random would need at least {low:.2g}x the trials{pool}"
    upper = "more" if math.isinf(high) else f"{high:.2g}x"
    return f"; random would need about {speed:.2g}x the trials [{low:.2g}x to {upper}]{pool}"


def _saving(row: dict[str, Any]) -> str:
    """What a pruner saved, and what it gave up."""
    interval = "" if math.isinf(row["saved_low"]) else f" [{100 * row['saved_low']:.0f}, {100 * row['saved_high']:.0f}]"
    if row["winners"] == 0:
        risk = f"it proposed none of the winners of {row['against']}"
    else:
        n_winners = counted(row["winners"], "winner")
        risk = f"of {n_winners} of {row['against']} that it proposed too, it pruned {row['lost'] or 'none'}"
    saved = f"saves {row['saved']:.0%}{interval} of the seconds of {row['against']}"
    return f"{row['sampler']} prunes {row['pruned']:.0%} of its trials and {saved}; {risk}."


def _choice(findings: Findings) -> str:
    chosen, baseline = findings.recommended, findings.plan.baseline
    if findings.repetitions < 2:
        return ""
    if baseline is None:
        return f"The {'lowest' if findings.metric.sign < 0 else 'highest'} median is that of {chosen}."
    if chosen == baseline:
        return f"No sampler is shown to be better than {baseline}: use {baseline}."
    return f"Use {chosen}: of the samplers shown to be better than {baseline} it has the best median."


# --- the budget ---


def _budget(findings: Findings) -> list[str]:
    if findings.repetitions < 2 or findings.plan.trials < 4:
        return []
    metric, chosen = findings.metric, findings.recommended
    (row,) = findings.doublings[findings.doublings["sampler"] == chosen].to_dict("records")
    said = []
    if not math.isnan(row["gain"]):
        text = f"Going from {row['budget'] // 2} to {row['budget']} trials of {chosen} improved {metric.label} by "
        text += f"{_amount(row, '')}; twice as many are expected to bring {_amount(row, 'next_')}"
        margin = findings.plan.margin
        if margin is not None and not math.isnan(row["next_gain_high"]):
            if row["next_gain_high"] < margin:
                text += f", less than the margin of {margin:g}: stop here"
            elif row["next_gain_low"] > margin:
                text += f", more than the margin of {margin:g}: go on"
        said.append(f"{text}.")
    if not math.isnan(row["flat_from"]) and row["flat_from"] < findings.plan.trials:
        little = "the margin" if findings.plan.margin is not None else "5% of the total gain over the reference"
        said.append(f"Its median stops improving after trial {row['flat_from']:.0f}: later gains are under {little}.")
    smaller = [b for b in findings.budgets.to_dict("records") if b["trials"] < findings.plan.trials]
    if smaller and findings.plan.baseline is not None:
        chosen_at = ", ".join(f"{b['choose']} at {b['trials']} trials" for b in smaller)
        said.append(f"With a smaller budget, by the same rule: {chosen_at}.")
    return said


def _amount(row: dict[str, Any], which: str) -> str:
    low, high = row[f"{which}gain_low"], row[f"{which}gain_high"]
    interval = "" if math.isnan(low) else f" [{rough_text(low)}, {rough_text(high)}]"
    return f"{rough_text(row[f'{which}gain'])}{interval}"


# --- warnings ---


def warnings(findings: Findings) -> list[str]:
    """What a reader must know beside the numbers."""
    return [*_of_repetitions(findings), *_of_samplers(findings), *_of_test(findings)]


def _of_repetitions(findings: Findings) -> list[str]:
    plan, n = findings.plan, findings.repetitions
    said = []
    n_pairs = len(findings.verdicts)
    fewest = fewest_repetitions(n_pairs, plan.resplit, plan.alpha)
    if n == 1:
        said.append("one repetition: no interval, no p-value, and nothing is called better")
    elif n < fewest:
        said.append(
            f"{n} repetitions can never reach significance with {counted(n_pairs, 'comparison')}: "
            f"{fewest} is the minimum"
        )
    elif n < FEW:
        said.append(f"{n} repetitions are few: intervals are wide, and only large differences can be told")
    if findings.is_cut:
        missing = f"; missing are {findings.made['missing']}" if "missing" in findings.made else ""
        said.append(f"{n} of {plan.repetitions} repetitions are complete: the same command goes on{missing}")
    if not plan.resplit:
        said.append("all repetitions share one split: what is claimed covers the samplers' randomness on it only")
    if findings.rules.looks == "again":
        said.append(
            "repetitions were added after a look at the verdicts: they now hold at any number of looks, for which they "
            "want more evidence"
        )
    if " and " in findings.made.get("versions", ""):
        said.append(f"runs were made with different versions: {findings.made['versions']}")
    finals = findings.finals.pivot(index="repetition", columns="sampler", values="value")
    losses = measures.as_losses(finals)
    share = float(np.mean(np.isclose(losses, losses.min(axis=1, keepdims=True), rtol=1e-9, atol=0)))
    if share > 0.5 and losses.shape[1] > 1:
        said.append(
            f"{share:.0%} of the runs tie at the best value of their repetition: the objective is saturated; use a "
            "continuous metric such as neg_log_loss"
        )
    return said


def _of_samplers(findings: Findings) -> list[str]:
    plan, said = findings.plan, []
    for sampler in plan.samplers:
        if sampler.is_grid and plan.trials < findings.grid_size:
            said.append(f"grid: {plan.trials} of {findings.grid_size} cells, in a seeded random order")
        elif plan.trials < sampler.kind.fewest_trials:
            n_fewest = sampler.kind.fewest_trials
            said.append(f"{sampler.label} is not better than random search below {n_fewest} trials")
        if sampler.label in findings.deterministic:
            said.append(f"{sampler.label} is deterministic on one split: {_quantile(findings, sampler.label)}")
    for row in findings.table.to_dict("records"):
        name, n_trials = row["sampler"], row["trials"]
        if n_trials < row["repetitions"] * plan.trials:
            said.append(f"{name} ran out of configurations before its budget: its curve is held flat")
        n_again = n_trials - row["distinct"]
        if n_again:
            verb = "repeats" if n_again == 1 else "repeat"
            said.append(f"{n_again} of {n_trials} trials of {name} {verb} a configuration")
        if row["failed"]:
            said.append(
                f"{row['failed']} of {n_trials} trials of {name} failed: they use budget, and are never the best"
            )
    said += [f"{first} and {second} propose the same trials: check their seeds" for first, second in findings.twins()]
    return said


def _quantile(findings: Findings, label: str) -> str:
    baseline = findings.plan.baseline
    if baseline is None or baseline == label:
        return "its runs count as one"
    values = findings.finals.groupby("sampler")["value"]
    own, others = values.get_group(label).iloc[0], values.get_group(baseline)
    return f"its runs count as one, which is better than {float((others < own).mean()):.0%} of the runs of {baseline}"


def _of_test(findings: Findings) -> list[str]:
    said = []
    fewest = findings.plan.fewest_repetitions
    if not findings.has_test and findings.repetitions < fewest:
        said.append(
            f"the sealed test rows were not scored: {counted(findings.repetitions, 'repetition')} can never reach a "
            "verdict; scores here are of validation rows, which flatter what is tuned"
        )
    elif not findings.has_test and findings.repetitions > 1:
        said.append(
            "the sealed test rows were not scored: verdicts rest on validation rows, which flatter what is tuned"
        )
    n_failed = _without_held_out(findings) if findings.has_test else {}
    for label, n in n_failed.items():
        whose = "the reference" if label == "reference" else f"the best configuration of {label}"
        said.append(
            f"{whose} could not be trained on all training and validation rows in {n} of "
            f"{counted(findings.repetitions, 'repetition')}: it has no held-out score there, and counts as the worst"
        )
    errors = findings.test_errors
    unknown = [label for label in errors.index[errors.isna()] if n_failed.get(label, 0) < findings.repetitions]
    if findings.has_test and unknown and findings.repetitions > 1:
        said.append(
            f"the test scores of {', '.join(unknown)} are not known row by row, so that the luck of the test rows is "
            "in no interval of theirs; what an older version scored, hpo compare scores again"
        )
    if findings.n_opened_before:
        others = counted(findings.n_opened_before, "other configuration")
        said.append(
            f"the sealed test rows of this study were scored for {others} too: whoever has chosen anything by them "
            "should not trust them any more"
        )
    if findings.has_test:
        overtuned = findings.table.set_index("sampler")["overtuned"]
        for sampler, share in overtuned[overtuned > _MOST_OVERTUNED].items():
            said.append(
                f"{sampler} overtunes: in {share:.0%} of the repetitions its last incumbent is worse on the test rows "
                "than its first"
            )
    return said


def _without_held_out(findings: Findings) -> dict[str, int]:
    """Label -> number of repetitions whose final has no score of the sealed test rows, for those that have any."""
    tests = [(str(label), runs["test"]) for label, runs in findings.finals.groupby("sampler", observed=True)]
    tests.append(("reference", findings.reference["test"]))
    return {label: int(scores.isna().sum()) for label, scores in tests if scores.isna().any()}


# --- the table ---


def rows(findings: Findings) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the table for people: errors positive, a row per sampler, the reference last.

    Columns without content are left out.
    """
    metric, baseline, table = findings.metric, findings.plan.baseline, findings.table
    reference = [float(findings.reference[column].median()) for column in ("value", "test")]
    reference[1] = reference[1] if findings.has_test else math.nan  # an export may have scored it
    medians = [*table["median"], *table["median_low"], *table["median_high"], reference[0]]
    held_out = [*table["test"], reference[1]]
    header = ["sampler", f"median {metric.label}", "95%", "held-out"]
    header += [f"beats {baseline}", "verdict"] if baseline is not None else []
    header += ["random needs", "reaches target"] if findings.plan.random is not None else []
    header += ["trials", "failed", "fit time", "sampler time", "memory"]
    cells, errors = [], findings.test_errors
    for row in table.to_dict("records"):
        line = [row["sampler"], metric.text(row["median"], beside=medians), _interval(metric, row, medians)]
        line.append(metric.text(row["test"], beside=held_out) + _off(errors.get(row["sampler"], math.nan)))
        if baseline is not None:
            is_base = row["sampler"] == baseline
            share = f"{share_text(row['superiority'])}{_percent(row)}"
            line += ["baseline", ""] if is_base else [share, str(row["verdict"])]
        if findings.plan.random is not None:
            speed, low = row["speedup"], row["speedup_low"]
            line.append("" if math.isnan(speed) or math.isnan(low) else _times(speed, low))
            median, success = row["time_to_target"], row["success_rate"]
            at = f", by trial {median:.0f}" if math.isfinite(median) else ""
            line.append("defines it" if math.isnan(success) else f"{success:.0%}{at}")
        memory = row["peak_memory_mb"]
        line += [
            str(row["trials"]), str(row["failed"]), format_duration(row["fit_seconds"]),
            format_duration(row["sampler_seconds"]), "-" if math.isnan(memory) else format_size(memory),
        ]  # fmt: skip
        cells.append(line)
    usual = ["reference", metric.text(reference[0], beside=medians), "", metric.text(reference[1], beside=held_out)]
    usual[-1] += _off(errors.get("reference", math.nan)) if findings.has_test else ""
    cells.append(usual + [""] * (len(header) - len(usual)))
    shown = [i for i in range(len(header)) if any(line[i] not in NOTHING for line in cells)]
    return [header[i] for i in shown], [[line[i] for i in shown] for line in cells]


def _off(error: float) -> str:
    return "" if math.isnan(error) else f" ± {rough_text(error)}"


def _interval(metric: Metric, row: dict[str, Any], beside: list[float]) -> str:
    bounds = (row["median_low"], row["median_high"])
    if not all(map(math.isfinite, bounds)):
        return ""
    low, high = sorted(bounds, key=metric.shown)
    return f"{metric.text(low, beside=beside)} to {metric.text(high, beside=beside)}"


def _times(speed: float, low: float) -> str:
    return f">= {low:.2g}x" if math.isinf(speed) else f"{speed:.2g}x"
