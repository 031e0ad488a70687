// What the theme leaves out for those who read by keyboard or by ear.
document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
document.querySelectorAll(".md-nav .md-nav[aria-labelledby]").forEach((nav) => {
  const words = nav.querySelector(":scope > .md-nav__title")?.textContent.trim();
  if (words) { nav.removeAttribute("aria-labelledby"); nav.setAttribute("aria-label", `${words}: pages`); }
});
let codes = 0;
new MutationObserver(() =>
  document.querySelectorAll(".md-code__nav:not([aria-label])").forEach((nav) => nav.setAttribute("aria-label", `Code ${++codes}`)),
).observe(document.body, { childList: true, subtree: true });
const reachable = () =>
  document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code").forEach((box) => {
    if (box.scrollWidth > box.clientWidth) { box.tabIndex = 0; } else { box.removeAttribute("tabindex"); }
  });
addEventListener("load", reachable);
addEventListener("resize", reachable);
