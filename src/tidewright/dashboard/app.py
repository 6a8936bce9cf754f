"""The page itself, which Streamlit runs from top to bottom whenever something changes. See `open_app`."""

from __future__ import annotations

import os

import streamlit as st

from tidewright.dashboard import tables
from tidewright.dashboard.open_app import PLACE, SECONDS
from tidewright.errors import TidewrightError
from tidewright.tuning.kept import Address, Kept, list_studies, read_kept
from tidewright.tuning.open_store import hide_password
from tidewright.tuning.repeats import judge_best

FACTS = ("model", "task", "data", "seed")
LOSSES = 12  # trials whose steps are drawn


def show_page() -> None:
    """The whole page."""
    where = os.environ.get(PLACE, "tidewright-runs")
    st.set_page_config(page_title="Tidewright", layout="wide")
    st.sidebar.title("Tidewright")
    st.sidebar.caption(hide_password(where))
    try:
        studies = list_studies(where)
    except TidewrightError as error:
        st.error(str(error))
        return
    if studies:
        address = st.sidebar.selectbox("study", studies, format_func=str)
        seconds = float(os.environ.get(SECONDS, "2"))
        follow = st.sidebar.toggle("follow while it runs", value=True)
        st.fragment(show_study, run_every=seconds if follow and seconds > 0 else None)(address)
    else:
        st.info("No study is kept there yet. Make one with: tidewright tune")
    if "://" not in where and (rows := tables.list_run_rows(where)):
        st.subheader("runs")
        st.dataframe(rows, hide_index=True)


def show_study(address: Address) -> None:
    """A study as it is now."""
    try:
        kept = read_kept(address)
    except TidewrightError as error:
        st.error(str(error))
        return
    st.title(kept.name)
    st.caption(", ".join(f"{name} {kept.facts[name]}" for name in FACTS if name in kept.facts))
    _show_head(kept)
    if rows := tables.list_running(kept):
        st.subheader("running")
        st.dataframe(rows, hide_index=True)
    if rows := tables.list_history(kept):
        st.subheader(f"{kept.metric or 'value'} by trial")
        st.line_chart(rows, x="trial", y=["score", "best so far"])
    _show_losses(kept)
    if rows := tables.list_reasons(kept):
        st.subheader("why trials ended early")
        st.dataframe(rows, hide_index=True)
    st.subheader("trials")
    st.dataframe(tables.list_trials(kept), hide_index=True)


def _show_head(kept: Kept) -> None:
    best, worth = judge_best(kept.trials) or (None, None)
    shown = tables.show_value(worth, kept.metric)
    told = {f"best {kept.metric or 'value'}": "none yet" if shown is None else f"{shown:.4g}"}
    told |= {"trials": str(len(kept.trials)), **{name: str(n) for name, n in tables.count_states(kept).items()}}
    told["seconds"] = f"{kept.spent:.0f}"
    for column, (name, value) in zip(st.columns(len(told)), told.items(), strict=True):
        column.metric(name, value)
    if best is not None:
        options = ", ".join(f"{name} = {value}" for name, value in best.parameters.items())
        st.write(f"Trial {best.number} is the best: {options or 'the default'}")


def _show_losses(kept: Kept) -> None:
    trials = [trial for trial in kept.trials if len(trial.finite_steps) > 1][-LOSSES:]
    if rows := tables.list_losses(trials):
        st.subheader(f"what the last {len(trials)} trials reported, step by step")
        st.line_chart(rows, x="step", y=[f"trial {trial.number}" for trial in trials])


show_page()
