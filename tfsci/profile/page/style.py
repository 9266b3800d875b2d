"""How the page looks: on paper, on a screen, light or dark, and from the last row of a room."""

# Okabe and Ito's colours, told apart with every kind of colour vision.
COLOURS = {
    "compile": "#E69F00",
    "compute": "#0072B2",
    "communication": "#009E73",
    "copy": "#CC79A7",
    "input": "#D55E00",
    "dispatch": "#56B4E9",
    "python": "#666666",  # the lighter greys are purple's and green's to some
}
WHITE_ON = ("compute", "python")

_PAGE = """
:root {
  color-scheme: light dark;
  --back: #ffffff; --ink: #1a1a1a; --soft: #595959; --line: #d0d0d0; --card: #f5f5f5;
  --alarm: #b34700;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #16181c; --ink: #f0f0f0; --soft: #b0b0b0; --line: #45484f; --card: #22252b;
    --alarm: #ff9a57;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.6rem 2rem; max-width: 1200px; background: var(--back);
  color: var(--ink); font: 18px/1.45 system-ui, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: anywhere;
}
h1 { font-size: 2rem; line-height: 1.2; margin: 0.2rem 0 1rem; text-wrap: balance; }
h2 { font-size: 1.3rem; line-height: 1.25; margin: 1.8rem 0 0.5rem; }
h2 small { font-size: 1rem; font-weight: normal; color: var(--soft); }
p { margin: 0.4rem 0; }
header p, footer, .note { color: var(--soft); font-size: 0.9rem; }
code, .name { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
code { background: var(--card); border-radius: 4px; padding: 0.1em 0.4em; font-size: 0.92em; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--ink); font-size: 16px; }
svg .soft { fill: var(--soft); font-size: 14px; }
svg .name { font-weight: 600; font-size: 15px; }
svg .strong { font-weight: 700; }
svg .black { fill: #000; font-weight: 600; }
svg .white { fill: #fff; font-weight: 600; }
svg .alarm { fill: var(--alarm); font-weight: 700; }
.rule { stroke: var(--line); stroke-width: 1; fill: none; }
.link { stroke: var(--soft); stroke-width: 2; fill: none; }
.head { fill: var(--soft); }
.demand { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 6 4; }
.box { fill: var(--card); stroke: var(--line); stroke-width: 1.5; }
.slowest { stroke: var(--alarm); stroke-width: 3.5; }
.empty { fill: var(--back); stroke: var(--soft); stroke-width: 1.5; }
.full { fill: var(--soft); }
.facts { display: flex; flex-wrap: wrap; gap: 0.8rem; margin: 0; }
.facts div { background: var(--card); border-radius: 8px; padding: 0.5rem 1rem; flex: 1 0 auto; }
.facts dt { color: var(--soft); font-size: 0.9rem; }
.facts dd { margin: 0; font-size: 1.6rem; font-weight: 700; line-height: 1.25; }
.legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1.8rem; list-style: none; padding: 0; }
.legend i {
  display: inline-block; width: 0.85em; height: 0.85em; margin-right: 0.45em; border-radius: 2px;
}
.changes { list-style: none; padding: 0; margin: 0; }
.changes li {
  display: grid; grid-template-columns: 8.5rem 1fr; gap: 1rem; align-items: center;
  background: var(--card); border-radius: 8px; padding: 0.7rem 1rem; margin-bottom: 0.6rem;
}
.changes .gain {
  font-size: 1.9rem; font-weight: 700; text-align: center; line-height: 1.1; white-space: nowrap;
}
.changes .gain small { display: block; font-size: 0.8rem; font-weight: normal; }
.columns { display: flex; flex-wrap: wrap; gap: 0 3rem; }
.columns section { flex: 1 1 26rem; }
table { border-collapse: collapse; table-layout: fixed; width: 100%; font-size: 0.95rem; }
td, th { padding: 0.2rem 0.4rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
td { width: 5.6rem; text-align: right; font-variant-numeric: tabular-nums; }
td:last-child { width: 7rem; }
th { font-weight: normal; text-align: left; overflow: hidden; text-overflow: ellipsis; }
td svg { width: 90px; height: 12px; }
@media (max-width: 700px) { body { padding: 1rem; } h1 { font-size: 1.5rem; } }
@media print { body { max-width: none; } section { break-inside: avoid; } }
"""

CSS = _PAGE + "".join(
    f".{part} {{ fill: {colour}; background: {colour}; }}\n" for part, colour in COLOURS.items()
)
