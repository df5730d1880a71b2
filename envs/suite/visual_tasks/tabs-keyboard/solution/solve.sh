#!/bin/bash
# Roles stand in the markup; one function selects a tab, whoever asks for it.
set -euo pipefail

cat > tabs.js <<'EOF'
const tabs = [...document.querySelectorAll("[role=tab]")];

function select(chosen) {
  for (const tab of tabs) {
    tab.setAttribute("aria-selected", String(tab === chosen));
    tab.tabIndex = tab === chosen ? 0 : -1;
    document.getElementById(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
  }
}

tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = tabs[(index + step + tabs.length) % tabs.length];
    select(next);
    next.focus();
  });
});
select(tabs[0]);
EOF

python3 - <<'EOF'
from pathlib import Path

page = Path("index.html").read_text()
page = page.replace('<div class="tabs">', '<div class="tabs" role="tablist" aria-label="Rooms">')
for name in ("Kitchen", "Study", "Garden"):
    low = name.lower()
    page = page.replace(
        f'<span class="tab">{name}</span>',
        f'<button type="button" class="tab" role="tab" id="tab-{low}" aria-controls="{low}">{name}</button>',
    )
    page = page.replace(
        f'<div class="panel" id="{low}">',
        f'<div class="panel" role="tabpanel" aria-labelledby="tab-{low}" id="{low}">',
    )
Path("index.html").write_text(page)
EOF
