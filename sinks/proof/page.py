"""proof.html: one file for a manager (above) and a scientist (below). Text and inline SVG; no script, no network.

Made of proof.json's record and nothing else, so both say the same. Everything that comes from data is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from sinks.proof.charts import Mark, bars, intervals, lines
from sinks.proof.evidence import NOT_INDEPENDENT
from sinks.proof.page_curves import curves_of
from sinks.proof.record import Interval, Judged, Measured, Proof

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1b1b1b;background:#fff;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem}h2{margin-top:2.4rem;border-bottom:2px solid #ddd}table{border-collapse:collapse;width:100%}
caption{text-align:left;font-weight:600;padding:.4rem 0}th,td{padding:.3rem .5rem;border-bottom:1px solid #ddd;
text-align:left;vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
figure{margin:1.2rem 0}figcaption{font-weight:600}svg{width:100%;height:auto;font:12px system-ui,sans-serif}
.key{font-weight:400;margin-left:1rem;white-space:nowrap}.key svg{width:28px;vertical-align:middle;margin-right:.3rem}
.words{border-left:6px solid #0b5cad;background:#eef4fb;padding:.6rem 1rem}.no{border-color:#b34700;background:#fdf1e7}
.wide{overflow-x:auto}.wide table{min-width:44rem}.wide svg{min-width:34rem;max-width:54rem}.slim svg{max-width:36rem}
.over{paint-order:stroke;stroke:#fff;stroke-width:4px}h1,p,li{overflow-wrap:anywhere}
small{font-weight:400;color:#555}dt{font-weight:600}dd{margin:0 0 .6rem 1rem}
"""
_QUESTIONS = {
    "utility": ("Is it useful?", "A model that learns from it, judged on real people: 1 is like real data, 0 a guess."),
    "fidelity": ("Is it like the real thing?", "How far sessions, times and popularity are from those of real people."),
    "diversity": ("Is it varied?", "Whether rare things occur, and people differ as they do in life."),
    "privacy": ("Does it give anybody away?", "Attacks find some ways in which it would. Passing them is no promise."),
}  # fmt: skip
#: The figures that a manager reads first, with a sentence for each.
_FIRST = {
    "next_event_accuracy": "guesses of what a user does next",
    "next_event_log_loss": "knowing how likely each next step is",
    "next_item_hits": "recommending the next item",
    "new_item_hits": "recommending items that are new to the session",
    "outcome_conversion": "telling who converts",
    "outcome_return": "telling who comes back",
    "outcome_long_session": "telling whose session goes on",
}


def page_of(proof: Proof) -> str:
    """The page of a proof."""
    synthetic = proof.logs["synthetic"]
    body = [
        f"<h1>What is {escape(synthetic.said)} worth?</h1>",
        _verdict(proof),
        *(f'<p class="words no">{escape(note)}</p>' for note in proof.notes),
        _for_managers(proof),
        _gates(proof.gates),
        curves_of(proof),
        "<h2>Every figure</h2>",
        "<p>Each figure has a 95 % bootstrap interval over users. <em>Floor</em> is what a fresh sample of real people "
        "gets in its place. <em>Real</em> and <em>trivial</em> are the raw scores between which a skill is measured; "
        "elsewhere <em>real</em> is what is ideal.</p>",
        *(_group(proof, group) for group in _QUESTIONS),
        _absent(proof),
        _logs(proof),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width,initial-scale=1"><title>Proof: {escape(synthetic.said)}</title>'
        f"<style>{_STYLE}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def _verdict(proof: Proof) -> str:
    words = f"<strong>{escape(proof.checked.capitalize())}.</strong>"
    if "holdout" in proof.logs:
        real = proof.logs["holdout"]
        words += f" Judged on {real.users:,} real users with {real.sessions:,} sessions."
    if proof.checked == "synthetic only":
        words += " No real log was given: nothing here says whether any of it is true, useful or private."
    elif proof.checked == NOT_INDEPENDENT:
        words += " The figures flatter: prove on real people that the model has not seen."
    if proof.passed is not None:
        failed = [gate.metric for gate in proof.gates if not gate.passed]
        words += (
            " It passes all its gates." if proof.passed else f" It fails {len(failed)} of {len(proof.gates)} gates."
        )
    return f'<p class="words{"" if proof.passed is not False else " no"}">{words}</p>'


def _for_managers(proof: Proof) -> str:
    found = {figure.metric: figure for figure in proof.figures}
    known = {
        words: figure
        for name, words in _FIRST.items()
        if (figure := found.get(name)) is not None and figure.value.value is not None
    }
    marks = [
        Mark(
            words,
            figure.value.value or 0.0,
            figure.value.low,
            figure.value.high,
            figure.floor.value if figure.floor else None,
        )
        for words, figure in known.items()
        if not figure.doubt
    ]
    said = []
    if marks:
        middle = sorted(mark.value for mark in marks)[len(marks) // 2]
        said.append(
            f"A model that learns from this data instead of real data keeps {_percent(middle)} of what there is to "
            f"learn (the middle of {len(marks)} tasks; the worst: {_percent(min(mark.value for mark in marks))})"
            f"{_plain([figure for figure in known.values() if not figure.doubt])}."
        )
        said += _mixed({words: figure for words, figure in known.items() if not figure.doubt})
    if unsure := [f"{words} ({figure.doubt})" for words, figure in known.items() if figure.doubt]:
        said.append(f"Not counted: {'; '.join(unsure)}.")
    if (told := found.get("two_sample")) is not None and told.value.value is not None:
        said.append(
            f"Of a synthetic and a real session, a classifier tells which is which {_percent(told.value.value)} of the "
            f"time. A coin does 50 %{_beside(told)}."
        )
    if (spied := found.get("membership")) is not None and spied.value.value is not None:
        said.append(
            f"Of a person it was made of and a stranger, an attacker tells which is which "
            f"{_percent(spied.value.value)} of the time. A coin does 50 %{_beside(spied)}. That is no promise of "
            "privacy: only differential privacy makes one."
        )
    chart = intervals("What is kept of real data's worth, by task", marks, x="skill; diamond: a fresh real sample")
    return f"<h2>In short</h2>{''.join(f'<p>{each}</p>' for each in said)}{chart}"


def _plain(figures: Sequence[Measured]) -> str:
    """What the plain generator keeps in the same tasks."""
    chain = sorted(skill for figure in figures if (skill := figure.parts.get("markov_skill")) is not None)
    if not chain:
        return ""
    middle = _percent(chain[len(chain) // 2])
    return f". A plain Markov chain of the same core keeps {middle} (worst: {_percent(chain[0])})"


def _mixed(figures: Mapping[str, Measured]) -> list[str]:
    """What a tenth of the core keeps alone and with this data, task by task; what is surely worse is named."""
    known = {words: figure.parts for words, figure in figures.items() if figure.parts.get("mix_skill") is not None}
    if not known:
        return []
    both = [
        f"{words} {_percent(parts['tenth_skill'] or 0)} and {_percent(parts['mix_skill'] or 0)}"
        for words, parts in known.items()
    ]
    worse = [words for words, parts in known.items() if (parts["mix_gain_high"] or 0) < 0]
    harm = f" Mixing harms: {'; '.join(worse)}." if worse else ""
    return [f"A tenth of the real users, alone and together with this data: {'; '.join(both)}.{harm}"]


def _beside(figure: Measured) -> str:
    floor = figure.floor.value if figure.floor else None
    return "" if floor is None else f", and with a fresh real sample in place of this data it is {_percent(floor)}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _gates(gates: Sequence[Judged]) -> str:
    if not gates:
        return ""
    rows = "".join(
        f"<tr><th scope=row>{escape(gate.metric)}</th><td>{'passed' if gate.passed else '<strong>FAILED</strong>'}</td>"
        f"<td class=n>{_interval(gate.value) or escape(gate.why)}</td><td class=n>{_number(gate.threshold)}</td>"
        f"<td>{escape(gate.rule)}</td></tr>"
        for gate in gates
    )
    return (
        "<h2>Gates</h2><div class=wide><table><caption>What this data had to reach</caption><tr><th scope=col>Measure"
        "<th scope=col>Verdict<th scope=col class=n>Found<th scope=col class=n>Bound<th scope=col>Rule</tr>"
        f"{rows}</table></div>"
    )


def _group(proof: Proof, group: str) -> str:
    figures = [figure for figure in proof.figures if figure.group == group]
    if not figures:
        return ""
    question, about = _QUESTIONS[group]
    rows = "".join(_row(figure) for figure in figures)
    head = "".join(
        f"<th scope=col{' class=n' if number else ''}>{name}"
        for name, number in (("Measure", 0), ("Value", 1), ("Floor", 1), ("Real", 1), ("Trivial", 1), ("Better", 0))
    )
    charts = "".join(_chart(figure) for figure in figures)
    return (
        f"<h3>{escape(question)}</h3><p>{escape(about)}</p><div class=wide><table>"
        f"<caption>{group.capitalize()}</caption><tr>{head}</tr>{rows}</table></div>{charts}"
    )


def _row(figure: Measured) -> str:
    sizes = ", ".join(f"{name.replace('_', ' ')} {size:,}" for name, size in figure.sizes.items())
    parts = ", ".join(f"{name.replace('_', ' ')} {_number(value)}" for name, value in figure.parts.items())
    notes = "; ".join(text for text in (figure.doubt, figure.note, sizes, parts) if text)
    return (
        f"<tr><th scope=row>{escape(figure.title)}<br><small>{escape(figure.metric)}, {escape(figure.unit)}. "
        f"{escape(notes)}. Source: {escape(figure.source)}</small></th><td class=n>{_interval(figure.value)}</td>"
        f"<td class=n>{_interval(figure.floor)}</td><td class=n>{_number(figure.real)}</td>"
        f"<td class=n>{_number(figure.trivial)}</td><td>{figure.goal}</td></tr>"
    )


def _chart(figure: Measured) -> str:
    curves = figure.curves
    if figure.metric == "funnel":
        series = {"synthetic": curves["synthetic"], "real": curves["test"]}
        return bars("Share of sessions that have each event", curves["events"], series, y="share")
    if figure.metric == "session_length":
        labels = [f"{k}" if k < 30 else "30+" for k in range(1, 31)]
        return bars(
            "Lengths of sessions", labels, {"synthetic": curves["synthetic"], "real": curves["real"]}, y="share"
        )
    if figure.metric in ("return_curve", "item_popularity"):
        series_of = {
            name: [(float(k + 1), value) for k, value in enumerate(curves[arm])]
            for name, arm in (("synthetic", "synthetic"), ("real", "test"))
        }
        words = ("Users who are back", "days") if figure.metric == "return_curve" else ("Popularity of items", "rank")
        return lines(words[0], series_of, x=words[1], y="share")
    return ""


def _absent(proof: Proof) -> str:
    rows = "".join(f"<dt>{escape(each.title)}</dt><dd>{escape(each.reason)}</dd>" for each in proof.absent)
    return f"<h3>Not measured</h3><dl>{rows}</dl>" if rows else ""


def _logs(proof: Proof) -> str:
    rows = "".join(
        f"<tr><th scope=row>{escape(name)}<td>{escape(log.said)}<br><small>"
        f"{escape(', '.join(str(file.get('sha256', '')) for file in log.files) or ', '.join(log.runs))}</small>"
        f"<td class=n>{log.sessions:,}<td class=n>{log.users:,}<td class=n>{log.events:,}"
        f"<td class=n>{log.looked_at:,}</tr>"
        for name, log in proof.logs.items()
    )
    return (
        "<h2>What was looked at</h2><div class=wide><table><caption>Logs</caption><tr><th scope=col>Log<th scope=col>"
        "Source (SHA-256, or runs)<th scope=col class=n>Sessions<th scope=col class=n>Users<th scope=col class=n>Events"
        f"<th scope=col class=n>Looked at</tr>{rows}</table></div><p>Seed {proof.seed}, {proof.replicates} bootstrap "
        f"replicates, Dayone {escape(proof.dayone)}.</p>"
    )


def _interval(found: Interval | None) -> str:
    if found is None or found.value is None:
        return ""
    between = (
        "" if found.low is None or found.high is None else f"<br><small>{found.low:.3f} to {found.high:.3f}</small>"
    )
    return f"{found.value:.3f}{between}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
