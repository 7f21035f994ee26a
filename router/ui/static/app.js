// Which page is shown, the live line, the theme, and the keys.

import { el, get } from "./dom.js";
import { list } from "./list.js";
import { leave, onKey, step } from "./step.js";

const view = document.getElementById("view");
const help = document.getElementById("help");

async function route() {
  leave();
  const [path, query] = location.hash.slice(1).split("?");
  const wanted = path?.match(/^\/step\/([\w]+)$/);
  performance.mark("asked");
  try {
    await (wanted ? step(view, wanted[1]) : list(view, query));
    document.title = wanted ? `Step ${wanted[1].slice(0, 8)} · Triroute` : "Steps · Triroute";
  } catch (error) {
    view.replaceChildren(el("section", { class: "card", role: "alert" }, el("h1", {}, "That did not work"), el("p", {}, error.message), el("a", { href: "#/" }, "All steps")));
  }
  performance.measure("shown", "asked");
  view.dataset.ready = location.hash || "#/";
}

async function live() {
  if (document.hidden) return;
  try {
    const told = await get("live");
    const all = Object.values(told.mix).reduce((sum, count) => sum + count, 0) || 1;
    const bar = el("div", { class: "mix", role: "img", "aria-label": `Tokens of the last ${told.steps} steps: ${Object.entries(told.mix).map(([name, count]) => `${name} ${Math.round((100 * count) / all)} %`).join(", ")}` });
    for (const [name, count] of Object.entries(told.mix)) {
      const part = el("i", { class: name, title: `${name} ${Math.round((100 * count) / all)} %` });
      part.style.setProperty("width", `${(100 * count) / all}%`);
      part.style.setProperty("background", `var(--${name})`);
      bar.append(part);
    }
    document.getElementById("live").replaceChildren(bar, el("span", {}, `${told.running} running`));
  } catch { /* the next one may work */ }
}

function theme(wanted) {
  document.documentElement.dataset.theme = wanted;
  try { localStorage.setItem("theme", wanted); } catch { /* private window */ }
}

let saved = null;
try { saved = localStorage.getItem("theme"); } catch { /* private window */ }
document.documentElement.dataset.theme = saved || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
document.getElementById("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
document.getElementById("help-open").addEventListener("click", () => help.showModal());

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input:not([type=range]), select") || event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  if (event.key === " " && event.target.matches("button, a")) return;
  if (event.key === "?") help.showModal();
  else if (event.key === "u") location.hash = "#/";
  else if (event.key === "j" || event.key === "k") walk(event.key === "j" ? 1 : -1);
  else if (event.key === "Enter" && document.querySelector("tr.here") && event.target === document.body) location.hash = `#/step/${document.querySelector("tr.here").dataset.id}`;
  else if (!onKey(event.key)) return;
  event.preventDefault();
});

function walk(by) {
  const rows = [...document.querySelectorAll("#steps tr")];
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.classList.contains("here"));
  const next = rows[Math.max(0, Math.min(rows.length - 1, at + by))];
  rows.forEach((row) => row.classList.toggle("here", row === next));
  next.querySelector("a").focus();
}

addEventListener("hashchange", () => { route(); view.focus({ preventScroll: true }); });
route();
live();
setInterval(live, 3000);
