// The tokens of a text, each with what is told of it: under the pointer, or with the keys, as one stop of the Tab key.

import { el } from "./dom.js";

export function tokens(text) {
  const tip = el("div", { id: "tip", role: "tooltip", hidden: true });
  const gone = new AbortController();
  let here = null; // the token that Tab goes to
  let shown = null;
  document.body.append(tip);

  const place = () => {
    if (tip.hidden) return;
    const at = shown.getBoundingClientRect();
    tip.style.setProperty("left", `${Math.max(8, Math.min(at.left, innerWidth - tip.offsetWidth - 8))}px`);
    tip.style.setProperty("top", `${at.bottom + tip.offsetHeight + 12 > innerHeight ? at.top - tip.offsetHeight - 6 : at.bottom + 6}px`);
  };
  const show = (token) => {
    shown = token;
    tip.hidden = !token;
    if (!token) return;
    tip.textContent = token.dataset.tip;
    place();
  };
  const stop = (token) => {
    for (const name of here ? ["tabindex", "role", "aria-label", "aria-describedby"] : []) here.removeAttribute(name);
    here = token ?? null;
    const named = { tabindex: 0, role: "button", "aria-label": JSON.stringify(here?.textContent), "aria-describedby": "tip" };
    for (const [name, value] of here ? Object.entries(named) : []) here.setAttribute(name, value);
    if (here && tip.hidden) tip.textContent = here.dataset.tip; // described before it is shown
  };
  const go = (token) => {
    if (!token) return;
    tip.hidden = true;
    stop(token);
    token.focus({ preventScroll: true });
    token.scrollIntoView({ block: "nearest" });
    show(token);
  };

  const under = (event) => event.target.closest?.("[data-tip]");
  const focused = () => (text.contains(document.activeElement) ? here : null);
  text.addEventListener("mouseover", (event) => show(under(event)));
  text.addEventListener("mouseleave", () => show(focused()));
  text.addEventListener("click", (event) => go(under(event)));
  text.addEventListener("focusin", () => show(here));
  text.addEventListener("focusout", () => show(null));
  text.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !here) return;
    if (event.key === "Enter" || event.key === " ") show(tip.hidden ? here : null);
    else if (MOVES[event.key]) go(MOVES[event.key](here, text));
    else return;
    event.preventDefault();
    event.stopPropagation(); // the same keys go from pass to pass elsewhere
  });
  for (const moved of ["scroll", "resize"]) addEventListener(moved, place, { passive: true, signal: gone.signal });

  return {
    /** Others in their place; the one that has the focus keeps it, in its place. */
    fill(made) {
      const at = Math.max(0, [...text.children].indexOf(here));
      const had = focused();
      tip.hidden = true;
      text.replaceChildren(...made);
      here = null;
      stop(made[Math.min(at, made.length - 1)]);
      if (had) here?.focus({ preventScroll: true });
    },
    /** Whether there was anything to hide. */
    hide() {
      const was = !tip.hidden;
      show(null);
      return was;
    },
    leave() {
      gone.abort();
      tip.remove();
    },
  };
}

const MOVES = {
  ArrowLeft: (token) => token.previousElementSibling,
  ArrowRight: (token) => token.nextElementSibling,
  ArrowUp: (token) => onLine(token, "previousElementSibling"),
  ArrowDown: (token) => onLine(token, "nextElementSibling"),
  Home: (token, text) => text.firstElementChild,
  End: (token, text) => text.lastElementChild,
};

/** The nearest token of the line before, or of the one after. */
function onLine(token, next) {
  const from = token.getBoundingClientRect();
  const away = (one) => Math.abs(one.getBoundingClientRect().left - from.left);
  let line = null;
  let best = null;
  for (let one = token[next]; one; one = one[next]) {
    const { top } = one.getBoundingClientRect();
    if (Math.abs(top - from.top) < 3) continue;
    line ??= top;
    if (Math.abs(top - line) > 3) break;
    if (!best || away(one) < away(best)) best = one;
  }
  return best;
}
