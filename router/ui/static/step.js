// One step: its text by how each token came, the passes one by one, and the decision rule by rule.

import { el, fill, get, mode, ms, tag } from "./dom.js";
import { history, story } from "./decode.js";
import { tokens } from "./tokens.js";

let keys = null;
let left = null; // what is to do when the step is no longer shown

export async function step(view, wanted) {
  const record = await get(`steps/${encodeURIComponent(wanted)}`);
  const told = story(record);
  leave();
  const text = el("div", { class: "text", id: "text", role: "group", "aria-label": "Output" });
  const tokenwise = tokens(text);
  left = tokenwise.leave;
  const words = el("p", { class: "told", id: "told", role: "status" });
  const slider = el("input", { type: "range", id: "slider", min: 0, max: told.played.length, value: told.played.length, "aria-label": "Pass" });
  const count = el("output", { for: "slider", class: "muted" });
  const play = el("button", { type: "button", id: "play" }, "▶ Play");
  const show = () => {
    const at = Number(slider.value);
    count.textContent = `${at} / ${told.played.length}`;
    slider.setAttribute("aria-valuetext", at ? `after pass ${told.played[at - 1].at}, ${told.played[at - 1].kind}` : "before the first pass");
    tokenwise.fill(pieces(record, told, at));
    words.replaceChildren(...inWords(told, at));
  };
  let timer = 0;
  const pause = () => { clearInterval(timer); timer = 0; play.textContent = "▶ Play"; };
  play.addEventListener("click", () => {
    if (timer) return pause();
    if (Number(slider.value) >= told.played.length) slider.value = 0;
    play.textContent = "⏸ Pause";
    timer = setInterval(() => {
      if (!document.contains(slider) || Number(slider.value) >= told.played.length) return pause();
      slider.value = Number(slider.value) + 1;
      show();
    }, Math.max(30, Math.min(350, 12000 / Math.max(told.played.length, 1))));
  });
  slider.addEventListener("input", () => { pause(); show(); });
  keys = (key) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[key];
    if (key === "Escape") return tokenwise.hide();
    if (key === " ") play.click();
    if (move) { pause(); slider.value = Number(slider.value) + move; show(); }
    return key === " " || Boolean(move);
  };
  fill(view, head(record), figures(record), el("div", { class: "split" },
    el("div", {},
      el("section", { class: "card", "aria-label": "Decoding" }, el("h2", {}, "Decoding, pass by pass"), el("div", { class: "player" }, play, slider, count), words, text, legend(record)),
      timeline(record)),
    el("div", {}, decision(record), segments(record), more(record))));
  show();
}

export const onKey = (key) => (keys ? keys(key) : false);
export const leave = () => { keys = null; left?.(); left = null; };

function pieces(record, told, at) {
  const now = at ? told.played[at - 1] : null;
  const done = now ? now.to : 0;
  const classes = record.segments;
  const made = told.tokens.slice(0, done).map((one, index) => {
    const own = classes.find((segment) => segment.index === one.segment);
    const fresh = at < told.played.length && now && index >= now.from ? " new" : "";
    return el("span", { class: `t ${one.how} ${own ? own.mode : record.mode}${one.lossy ? " lossy" : ""}${fresh}`, "data-tip": history(one) }, one.text);
  });
  if (!now || at === told.played.length) return made;
  const ahead = (kind, text, tip) => el("span", { class: `t ${kind}`, "data-tip": tip }, text);
  const sure = (value) => `${(100 * value).toFixed(1)} %`;
  for (const word of now.rejected) made.push(ahead("no", word, `a draft that pass ${now.at} rejected`));
  const first = now.drafts.filter((draft, index) => draft.behind === index - 1);
  for (const draft of first) made.push(ahead("draft", draft.text, `a draft of pass ${now.at}\nconfidence ${sure(draft.sure)}`));
  for (const slot of now.block) {
    const kind = slot.fixed !== null ? "fixed" : slot.sure > 0.3 ? "maybe" : "mask";
    made.push(ahead(kind, kind === "mask" ? "▯" : slot.text, `${slot.fixed !== null ? `fixed in pass ${slot.fixed}` : "not sure yet"}\n${JSON.stringify(slot.text)}, confidence ${sure(slot.sure)}`));
  }
  return made;
}

function inWords(told, at) {
  if (!at) return ["Before the first pass."];
  const now = told.played[at - 1];
  const count = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
  const said = [el("b", {}, `Pass ${now.at}: ${now.kind}. `), `${count(now.width, "row")}, ${ms(now.us / 1000)}${now.batch > 1 ? `, shared by ${now.batch} steps` : ""}. `];
  if (now.to > now.from) said.push(`Committed ${count(now.to - now.from, "token")}. `);
  if (now.rejected.length) said.push(`Rejected ${count(now.rejected.length, "draft")}. `);
  if (now.drafts.length) said.push(`Drafted ${count(now.drafts.length, "token")}${now.drafts.some((draft, index) => draft.behind !== index - 1) ? ", with forks (the best path is shown)" : ""}. `);
  if (now.block.length) said.push(`${now.block.filter((slot) => slot.fixed === now.at).length} of ${now.block.length} slots fixed in this step. `);
  return said;
}

function head(record) {
  return el("div", { class: "bar" }, el("h1", {}, `${record.step} `, el("span", { class: "muted" }, record.rule)), Object.keys(record.modes).map(mode),
    record.session ? el("a", { href: `#/?${new URLSearchParams({ session: record.session, tenant: record.tenant, limit: 200 })}` }, `session ${record.session}`) : null, el("a", { href: "#/" }, "all steps"));
}

function figures(record) {
  const usage = record.usage;
  const list = { tokens: record.tokens, passes: record.passes, "tokens a pass": record.per_forward ?? "–", "drafts that held": `${usage.accepted_prediction_tokens ?? 0} of ${usage.drafted_tokens ?? 0}`, "first token": ms(record.first_ms), "in all": ms(record.ms), "waited": ms((record.timings.queue_us ?? 0) / 1000), ended: record.ended };
  return el("section", { class: "card", "aria-label": "Figures" }, el("dl", { class: "figures" }, Object.entries(list).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value))))));
}

function legend(record) {
  const parts = [["held", "draft that held"], ["forced", "forced by the format"], ["fixed", "fixed by diffusion"], ["draft", "draft"], ["no", "rejected"], ["mask", "▯ mask"]];
  const used = record.mode === "autoregressive" && record.segments.length < 2 ? parts.slice(0, 2) : parts;
  return el("div", { class: "legend" }, used.map(([kind, words]) => el("span", {}, el("span", { class: `t ${kind}` }, kind === "mask" ? "▯" : "ab"), ` ${words.replace("▯ ", "")}`)), record.vocab.includes("▒") ? el("span", {}, "▒ from the request, and not kept") : null, el("span", {}, "underline: mode"));
}

function timeline(record) {
  const run = record.passes_run;
  const end = Math.max(...run.start.map((start, at) => start + run.us[at]), 1);
  const svg = el("svg", { class: "line", viewBox: "0 0 1000 36", preserveAspectRatio: "none", role: "img", "aria-label": `Passes over ${ms(end / 1000)}` });
  const step = Math.max(1, Math.floor(run.kind.length / 1500));
  run.kind.forEach((kind, at) => {
    if (at % step && kind !== "prefill") return;
    const own = record.segments.find((segment) => segment.index === run.segment[at]);
    const width = Math.max((1000 * run.us[at] * step) / end, 0.6);
    const height = Math.min(36, 10 + 6 * run.committed[at].length);
    svg.append(el("rect", { class: kind === "prefill" ? "prefill" : (own ? own.mode : record.mode), x: (1000 * run.start[at]) / end, y: 36 - height, width, height }, el("title", {}, `pass ${at}: ${kind}, ${run.committed[at].length} tokens, ${ms(run.us[at] / 1000)}`)));
  });
  return el("section", { class: "card", "aria-label": "Time" }, el("h2", {}, "Time"), svg, el("p", { class: "told" }, `${ms(end / 1000)} from the first pass on. Higher bars committed more tokens; grey is the prompt.`));
}

const settings = (plan) => Object.entries(plan).filter(([name]) => name !== "mode").map(([name, value]) => `${name.replaceAll("_", " ")} ${Array.isArray(value) ? value.join(", ").replaceAll("DRAFT_SOURCE_", "").toLowerCase().replaceAll("_", " ") : String(value).replace("VERIFICATION_", "").toLowerCase()}`).join(", ");

function decision(record) {
  const told = record.decision;
  const rule = (name, why, won) => el("li", {}, el("span", { class: won ? "won" : "muted" }, won ? `✓ ${name}` : `✗ ${name}`), el("span", { class: "why" }, why));
  return el("section", { class: "card", "aria-label": "Decision" }, el("h2", {}, "Why so"),
    el("p", { class: "small" }, `Taken for ${record.step} (${record.confidence.toFixed(2)})`, told.evidence.length ? `: ${told.evidence.slice(0, 3).join("; ")}.` : "."),
    el("ol", { class: "rules" }, told.passed_over.map(([name, why]) => rule(name, why, false)), rule(record.rule, `${told.plan.mode}: ${settings(told.plan)}`, true),
      told.segments.map(([kind, plan, by]) => el("li", {}, `in ${kind}: `, mode(plan.mode), by ? el("span", { class: "why" }, `by rule ${by}`) : null)),
      told.clamps.map(([name, asked, became]) => el("li", { class: "small" }, `${name}: ${asked} became ${became}, by the limits`)),
      told.hints.map(([name, accepted, why]) => el("li", { class: "small" }, `hint ${name} ${accepted ? "followed" : "not followed"}: ${why}`))));
}

function segments(record) {
  return record.segments.length < 2 && !record.tool_calls.length ? null : el("section", { class: "card", "aria-label": "Segments" }, el("h2", {}, "Segments"),
    el("ul", { class: "rules" }, record.segments.map((one) => el("li", {}, mode(one.mode), ` in ${one.kind}`, el("span", { class: "why" }, `${one.tokens} tokens in ${one.passes} passes, ${one.accepted} drafts held, ${one.rejected} did not`))),
      record.tool_calls.map(([id, name, json]) => el("li", {}, `calls ${name}`, el("span", { class: "why" }, `${json} · ${id}`)))));
}

function more(record) {
  const check = record.check ? tag(String(record.check.result).replace("RESULT_", "").toLowerCase().replaceAll("_", " "), record.check.result === "RESULT_INVALID" ? "bad" : "good") : null;
  const line = (name, value) => (value ? el("div", {}, el("span", { class: "muted" }, `${name} `), el("code", {}, value)) : null);
  return el("section", { class: "card small", "aria-label": "Record" }, el("h2", {}, "Record"),
    check ? el("div", {}, "output checked: ", check, record.check.problem ? ` ${record.check.path}: ${record.check.problem}` : "") : null,
    record.escalations ? el("div", {}, `written again ${record.escalations} times`) : null,
    record.lossy ? el("div", {}, tag("lossy", "bad"), ` ${record.lossy} tokens are not what autoregression draws`) : null,
    line("request", record.id), line("trace", record.trace), line("policy", record.decision.revision.slice(0, 16)), line("model", record.model), line("engine", record.engine.slice(0, 16)),
    el("div", { class: "muted" }, record.captured ? "captured: triroute audit replay runs it again" : "not captured"));
}
