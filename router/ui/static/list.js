// The list of steps, and the steps of one session as one story.

import { el, fill, get, mode, ms, tag } from "./dom.js";

const FILTERS = { mode: ["autoregressive", "linear", "quadratic", "diffusion"], step: ["plan", "tool_call", "code", "prose", "unknown"] };

export async function list(view, query) {
  const asked = new URLSearchParams(query);
  const told = await get(`steps?${asked}`);
  const filters = Object.entries(FILTERS).map(([name, values]) => el("label", {}, el("span", { class: "muted" }, `${name} `), el("select", {
    "data-filter": name, onchange: (event) => { event.target.value ? asked.set(name, event.target.value) : asked.delete(name); location.hash = `#/?${asked}`; },
  }, el("option", { value: "" }, "any"), values.map((value) => el("option", { value, selected: asked.get(name) === value }, value)))));
  const find = el("form", { role: "search", onsubmit: (event) => { event.preventDefault(); location.hash = `#/step/${event.target.elements.id.value.trim()}`; } },
    el("input", { name: "id", placeholder: "trace or request id", "aria-label": "Trace or request id", required: true, minlength: 6, size: 18 }));
  const session = asked.get("session");
  const steps = session ? [...told.steps].reverse() : told.steps;
  fill(view,
    el("div", { class: "bar" }, el("h1", {}, session ? `Session ${session}` : "Steps"), session ? el("a", { href: "#/" }, "all steps") : filters, session ? null : find),
    session ? total(steps) : null,
    told.damaged ? el("p", { class: "card", role: "alert" }, `${told.damaged} of the newest records can't be read and are left out; `, el("code", {}, "triroute audit verify"), " says why.") : null,
    steps.length || told.damaged ? table(steps) : el("p", { class: "card muted" }, "No step is here yet. Run one: ", el("code", {}, 'triroute generate "Plan a picnic"')),
    told.more && steps.length && !session ? el("button", { type: "button", onclick: () => { asked.set("before", told.steps.at(-1).at); location.hash = `#/?${asked}`; } }, "Older steps") : null);
}

function total(steps) {
  const sum = (name) => steps.reduce((all, one) => all + (one[name] || 0), 0);
  const figures = { steps: steps.length, tokens: sum("tokens"), passes: sum("passes"), "tokens a pass": (sum("tokens") / Math.max(sum("passes"), 1)).toFixed(2), "decoding in all": ms(sum("ms")), "tool calls": steps.reduce((all, one) => all + one.calls.length, 0) };
  return el("section", { class: "card", "aria-label": "In all" }, el("dl", { class: "figures" }, Object.entries(figures).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value))))));
}

function table(steps) {
  const head = [["when"], ["step"], ["rule"], ["mode"], ["tokens", 1], ["a pass", 1], ["first", 1], ["time", 1], ["ended"]];
  return el("section", { class: "card", "aria-label": "Steps" }, el("table", {},
    el("thead", {}, el("tr", {}, head.map(([name, number]) => el("th", { class: number ? "n" : null, scope: "col" }, name)))),
    el("tbody", { id: "steps" }, steps.map(row))));
}

function row(one) {
  const at = new Date(one.at);
  const cell = (name, content, number) => el("td", { class: number ? "n" : null, "data-name": name }, content);
  const ended = ["stop", "length"].includes(one.ended) ? tag(one.ended) : tag(one.ended, "bad");
  return el("tr", { "data-id": one.id, onclick: () => { location.hash = `#/step/${one.id}`; } },
    cell("", el("a", { href: `#/step/${one.id}`, title: at.toLocaleString() }, at.toLocaleTimeString())),
    cell("", [one.step, el("span", { class: "muted" }, ` ${one.confidence.toFixed(2)}`), one.calls.length ? el("span", { class: "muted" }, ` → ${one.calls.join(", ")}`) : null]),
    cell("rule", one.rule), cell("", modes(one)),
    cell("tokens", String(one.tokens), 1), cell("a pass", one.per_forward ? one.per_forward.toFixed(2) : "–", 1),
    cell("first", one.first_ms ? ms(one.first_ms) : "–", 1), cell("time", one.ms ? ms(one.ms) : "–", 1),
    cell("", [ended, one.lossy ? tag("lossy", "bad") : null, one.resumes ? tag("resumed") : null]));
}

/** All that wrote of a step, most first. */
function modes(one) {
  const all = Object.entries(one.modes);
  return all.flatMap(([name, tokens], at) => [at ? " " : null, el("span", { title: all.length > 1 ? `${tokens} of ${one.tokens} tokens` : null }, mode(name))]);
}
