"""The style sheet of the HTML pages: dark on light, one column on a phone, printable."""

from __future__ import annotations

CSS = """
:root { color-scheme: light; --ink: #1c2328; --muted: #55616b; --line: #d5dbe0; --tint: #f4f6f8;
  --good: #0b6b3a; --good-tint: #e3f4ea; --bad: #a61b1b; --bad-tint: #fdeaea;
  --warn: #7a4300; --warn-tint: #fff3cd; --accent: #0b5cad; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: #fff; color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
header, main, footer { max-width: 76rem; margin: 0 auto; padding: 0 1.25rem; overflow-wrap: anywhere; }
header { padding-top: 1.75rem; }
footer p { border-top: 1px solid var(--line); color: var(--muted); font-size: .875rem; margin: 2rem 0; max-width: none;
  padding-top: .6rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .35rem; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 2.5rem 0 .6rem; padding-top: .9rem;
  border-top: 2px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p, ul, dl { margin: .5rem 0; max-width: 52rem; }
ul { padding-left: 1.25rem; }
a { color: var(--accent); }
.lead { font-size: 1.0625rem; }
.note { color: var(--muted); font-size: .9rem; }
.phantom-word { color: var(--warn); background: var(--warn-tint); border: 1px solid #b26a00; border-radius: .3rem;
  font-size: .68em; font-weight: 700; letter-spacing: .04em; display: inline-block; line-height: 1.3;
  margin-left: .15em; padding: .1em .4em; vertical-align: .15em; white-space: nowrap; }
.banner { border: 1px solid; border-left-width: .5rem; border-radius: .4rem; margin: 1rem 0; padding: .7rem 1rem; }
.banner p, .banner ul { margin: .25rem 0; }
.banner strong { font-size: 1.15rem; }
.good { color: var(--good); background: var(--good-tint); }
.bad { color: var(--bad); background: var(--bad-tint); }
.warn { color: var(--warn); background: var(--warn-tint); }
.no { color: var(--bad); }
.keys { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(11.5rem, 1fr)); margin: 1rem 0;
  max-width: none; }
.keys div { background: var(--tint); border: 1px solid var(--line); border-radius: .4rem; padding: .7rem .9rem; }
.keys dt { color: var(--muted); font-size: .875rem; }
.keys dd { font-size: 1.6rem; font-weight: 650; line-height: 1.25; margin: .1rem 0 0; }
.keys small { color: var(--muted); display: block; font-size: .8125rem; font-weight: 400; line-height: 1.35; }
dl:not(.keys) > div { display: grid; gap: 0 1rem; grid-template-columns: minmax(7rem, 14rem) 1fr;
  border-bottom: 1px solid var(--line); padding: .25rem 0; }
dt { color: var(--muted); }
dd { margin: 0; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: .84rem; }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: .4rem; overflow-x: auto; padding: .75rem;
  overflow-wrap: normal; }
/* Shadows at the sides of what scrolls, only where something is hidden. */
.scroll { overflow-x: auto; max-width: 100%; margin: .75rem 0; background:
  linear-gradient(to right, #fff 40%, #fff0) left / 2.5rem 100% no-repeat local,
  linear-gradient(to left, #fff 40%, #fff0) right / 2.5rem 100% no-repeat local,
  linear-gradient(to right, #0003, #0000) left / .75rem 100% no-repeat scroll,
  linear-gradient(to left, #0003, #0000) right / .75rem 100% no-repeat scroll; }
.scroll:focus-visible, summary:focus-visible, a:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; min-width: 100%; }
caption { caption-side: top; color: var(--muted); font-size: .9rem; padding: 0 0 .35rem; text-align: left; }
caption span { display: inline-block; left: 0; max-width: min(52rem, calc(100vw - 2.6rem)); position: sticky; }
th, td { border-bottom: 1px solid var(--line); overflow-wrap: normal; padding: .4rem .5rem; text-align: right;
  vertical-align: top; white-space: nowrap; }
thead th { border-bottom: 2px solid #aab4bc; font-size: .8125rem; line-height: 1.3;
  vertical-align: bottom; white-space: normal; }
th.words, td.words { text-align: left; }
tbody th { font-weight: 600; }
figure { margin: 1rem 0 1.4rem; }
figcaption { color: var(--muted); font-size: .875rem; margin-top: .3rem; max-width: 52rem; }
img { display: block; height: auto; max-width: 100%; }
img.medium { max-width: min(100%, 60rem); }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .75rem 0; padding: .5rem .9rem; }
summary { cursor: pointer; font-weight: 600; }
nav ul { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; list-style: none; margin: .8rem 0 0; padding: 0;
  max-width: none; font-size: .9rem; }
@media (max-width: 40rem) {
  body { font-size: 15px; }
  header, main, footer { padding-left: .9rem; padding-right: .9rem; }
  h1 { font-size: 1.4rem; }
  .keys { grid-template-columns: 1fr 1fr; gap: .5rem; }
  .keys dd { font-size: 1.25rem; }
  dl:not(.keys) > div { grid-template-columns: 1fr; }
  img.medium { max-width: none; width: 34rem; }
  img.wide { max-width: none; width: 50rem; }
}
@media print {
  body { font-size: 10pt; }
  header, main, footer { max-width: none; padding-left: 0; padding-right: 0; }
  figure, tr, .banner, .keys div { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  nav { display: none; }
  .scroll { overflow: visible; }
  th, td { white-space: normal; padding: .25rem .35rem; }
  table { font-size: 8pt; }
  .scroll { background: none; }
  .banner, .keys div, .phantom-word { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
