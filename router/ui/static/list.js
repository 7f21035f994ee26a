// The list of steps, and the steps of one session as one story.

import { el, fill, get, mode, ms, tag } from "./dom.js";

const FILTERS = { mode: ["autoregressive", "linear", "quadratic", "diffusion"], step: ["plan", "tool_call", "code", "prose", "unknown"] };

const AT_ONCE = 10; // requests for a session, until the next press of the button

let turn = 0; // which list is looked for: an answer that comes after another was asked for is not shown

export async function list(view, query) {
  const asked = new URLSearchParams(query);
  const mine = ++turn;
  const here = location.hash;
  const current = () => mine === turn && location.hash === here;
  const found = { steps: [], damaged: 0, looked_at: 0, next: null };
  await lookBack(asked, found);
  if (!current()) return;
  if (asked.get("session")) whole(view, asked, found, current);
  else show(view, asked, found);
}

/** The next page, behind what was found before. */
async function lookBack(asked, found) {
  if (found.next !== null) asked.set("before", found.next);
  const told = await get(`steps?${asked}`);
  found.steps.push(...told.steps);
  found.damaged += told.damaged;
  found.looked_at += told.looked_at;
  found.next = told.next;
}

/** All steps of a session, as they are found. */
async function whole(view, asked, found, current) {
  const onwards = async () => {
    try {
      for (let asks = 0; asks < AT_ONCE && found.next !== null; asks++) {
        showSession(view, asked, found, null);
        await lookBack(asked, found);
        if (!current()) return;
      }
      showSession(view, asked, found, onwards);
    } catch (error) {
      if (current()) showSession(view, asked, found, onwards, error);
    }
  };
  await onwards();
}

function show(view, asked, found) {
  const filters = Object.entries(FILTERS).map(([name, values]) => el("label", {}, el("span", { class: "muted" }, `${name} `), el("select", {
    "data-filter": name, onchange: (event) => { event.target.value ? asked.set(name, event.target.value) : asked.delete(name); asked.delete("before"); location.hash = `#/?${asked}`; },
  }, el("option", { value: "" }, "any"), values.map((value) => el("option", { value, selected: asked.get(name) === value }, value)))));
  const find = el("form", { role: "search", onsubmit: (event) => { event.preventDefault(); location.hash = `#/step/${event.target.elements.id.value.trim()}`; } },
    el("input", { name: "id", placeholder: "trace or request id", "aria-label": "Trace or request id", required: true, minlength: 6, size: 18 }));
  const newest = new URLSearchParams(asked);
  newest.delete("before");
  const older = () => { asked.set("before", found.next); location.hash = `#/?${asked}`; };
  fill(view,
    el("div", { class: "bar" }, el("h1", {}, "Steps"), asked.has("before") ? el("a", { href: `#/?${newest}` }, "newest") : null, filters, find),
    damaged(found), found.steps.length ? table(found.steps) : none(asked, found),
    found.next === null ? null : el("button", { type: "button", onclick: older }, found.steps.length ? "Older steps" : "Look further back"));
}

/** Why no step is shown. */
function none(asked, found) {
  if (found.next !== null) return el("p", { class: "card muted" }, `None of ${found.looked_at} steps is as wanted; there are older ones.`);
  if (["before", ...Object.keys(FILTERS), "rule"].some((name) => asked.get(name))) return el("p", { class: "card muted" }, `No ${asked.has("before") ? "older " : ""}step is as wanted.`);
  return found.damaged ? null : el("p", { class: "card muted" }, "No step is here yet. Run one: ", el("code", {}, 'triroute generate "Plan a picnic"'));
}

function damaged(found) {
  return found.damaged ? el("p", { class: "card", role: "alert" }, `${found.damaged} of ${found.looked_at} records can't be read and are left out; `, el("code", {}, "triroute audit verify"), " says why.") : null;
}

/** The first step first. `onwards` looks further; null while that is done. */
function showSession(view, asked, found, onwards, error = null) {
  const more = found.next !== null;
  const tenant = asked.get("tenant");
  const said = !more ? null : onwards ? `Looked at ${found.looked_at} steps of the log; this session may have older ones.` : "Looking further back…";
  fill(view,
    el("div", { class: "bar" }, el("h1", {}, `Session ${asked.get("session")}`, tenant ? el("span", { class: "muted" }, ` of ${tenant}`) : null), el("a", { href: "#/" }, "all steps")),
    total(found.steps, more),
    error ? el("p", { class: "card", role: "alert" }, error.message) : null,
    said ? el("p", { class: "told", role: "status" }, said, " ", onwards ? el("button", { type: "button", onclick: onwards }, "Look further back") : null) : null,
    damaged(found), found.steps.length || more ? table([...found.steps].reverse()) : el("p", { class: "card muted" }, "No step of this session is here."));
}

function total(steps, more) {
  const sum = (name) => steps.reduce((all, one) => all + (one[name] || 0), 0);
  const figures = { [more ? "steps so far" : "steps"]: steps.length, tokens: sum("tokens"), passes: sum("passes"), "tokens a pass": (sum("tokens") / Math.max(sum("passes"), 1)).toFixed(2), "decoding in all": ms(sum("ms")), "tool calls": steps.reduce((all, one) => all + one.calls.length, 0) };
  return el("section", { class: "card", "aria-label": more ? "So far" : "In all" }, el("dl", { class: "figures" }, Object.entries(figures).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value))))));
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
