"""The manifest of a run, what doing it again can show, and the commands for it and for a crate."""

import streamlit as st

from compliance.facts.dossier import Dossier, RunManifest
from dashboard.rows.words import plain
from dashboard.texts import say


def show_manifest(dossier: Dossier) -> None:
    """Shows the inputs that are recorded of a run, and how it is reproduced."""
    st.subheader(say("runs.reproduce"))
    st.markdown(say(f"runs.reproduce_{dossier.reproduction.value}"))
    if dossier.state != "running":
        st.code(f"collegium reproduce {dossier.run_id} --out FOLDER", language=None)
        st.caption(say("runs.crate"))
        st.code(f"collegium runs crate {dossier.run_id} --out FOLDER --to CRATE", language=None)
    if dossier.manifest is None:
        st.caption(say("runs.no_manifest"))
        return
    with st.expander(say("runs.manifest")):
        rows = [
            {say("runs.input"): name, say("runs.input_value"): value}
            for name, value in _rows(dossier.manifest)
        ]
        st.dataframe(rows, hide_index=True, width="stretch")


def _rows(manifest: RunManifest) -> list[tuple[str, str]]:
    """Returns the inputs in words, each with its value."""
    software, platform = manifest.software, manifest.platform
    rows = [
        (say("runs.manifest_digest"), manifest.digest),
        (say("runs.manifest_study"), manifest.study),
        *((name, str(seed)) for name, seed in manifest.seeds.items()),
        (say("runs.manifest_model"), manifest.initial_model),
        *((file.name, file.digest) for file in manifest.files),
        *((site, inputs.engine) for site, inputs in manifest.sites.items()),
        (say("runs.manifest_code"), software.code),
        (say("runs.manifest_libraries"), software.distributions),
        ("Python", software.python),
        (
            say("runs.manifest_machine"),
            f"{platform.system} {platform.machine} {platform.processor}".strip(),
        ),
    ]
    return [(plain(name), plain(value)) for name, value in rows]
