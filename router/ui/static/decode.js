// What happened to each token: read from the passes of a record, which come in columns.

const RUNS = ["decode", "draft", "verify", "denoise", "refresh"];

/** The passes of a record, each as what it did to the text. */
export function story(record) {
  const run = record.passes_run;
  const passes = [];
  const tokens = []; // of the output: {text, pass, how, ...}
  let proposed = null; // {pass, ids, sure, behind}: what a verification checks
  let slots = []; // of the diffusion block that is open: {text, sure, fixed, pass}
  let open = [];
  run.kind.forEach((kind, at) => {
    const made = { at, kind, segment: run.segment[at], width: run.width[at], us: run.us[at], start: run.start[at], batch: run.batch[at], from: tokens.length, rejected: [], drafts: [], block: [] };
    const committed = run.committed[at];
    const sources = run.sources[at];
    if (kind === "verify") {
      const path = followed(proposed, committed.slice(0, run.accepted[at]));
      committed.forEach((word, index) => {
        const held = index < run.accepted[at];
        const from = held && proposed && path[index] !== undefined ? proposed : null;
        tokens.push(token(record, word, at, kind, made, {
          how: held ? "held" : "drawn", slot: index, source: held ? sources[index] : 0,
          sure: from ? from.sure[path[index]] : null, drafted: from ? from.pass : null,
        }));
      });
      made.rejected = run.rejected[at].map((word) => record.vocab[word]);
      const first = tokens[made.from + run.accepted[at]];
      if (first) first.rejected = made.rejected;
    } else if (kind === "refresh") {
      committed.forEach((word, index) => {
        const slot = slots[index];
        const whole = slot && slot.fixed !== null && slot.text === record.vocab[word];
        tokens.push(token(record, word, at, kind, made, whole
          ? { how: "fixed", slot: index, sure: slot.sure, drafted: slot.fixed } : { how: "drawn", slot: index }));
      });
      slots = []; open = [];
    } else {
      committed.forEach((word, index) => tokens.push(token(record, word, at, kind, made, { how: "drawn", slot: index })));
    }
    for (const index of run.forced[at]) if (tokens[made.from + index]) tokens[made.from + index].how = "forced";
    for (const index of run.lossy[at]) if (tokens[made.from + index]) tokens[made.from + index].lossy = true;
    const words = run.proposed[at];
    if (kind === "denoise") {
      if (open.length !== words.length) { slots = words.map(() => ({ text: "", sure: 0, fixed: null })); open = words.map((_, index) => index); }
      words.forEach((word, index) => { const slot = slots[open[index]]; slot.text = record.vocab[word]; slot.sure = run.confidence[at][index]; });
      for (const index of run.fixed[at]) if (slots[index]) slots[index].fixed = at;
      open = open.filter((index) => !run.fixed[at].includes(index));
      made.block = slots.map((slot) => ({ ...slot }));
    } else if (words.length) {
      proposed = { pass: at, ids: words, sure: run.confidence[at], behind: run.behind[at] };
      made.drafts = words.map((word, index) => ({ text: record.vocab[word], sure: run.confidence[at][index], behind: run.behind[at].length ? run.behind[at][index] : index - 1 }));
    } else if (kind !== "prefill" && kind !== "forced" && kind !== "verify") proposed = null;
    made.to = tokens.length;
    passes.push(made);
  });
  return { passes, tokens, played: passes.filter((made) => RUNS.includes(made.kind) || made.to > made.from) };
}

function token(record, word, at, kind, made, more) {
  return { text: record.vocab[word], pass: at, kind, segment: made.segment, rejected: [], lossy: false, source: 0, sure: null, drafted: null, ...more };
}

/** Which proposals a path of accepted tokens went through. */
function followed(proposed, words) {
  if (!proposed) return [];
  const path = [];
  let last = -1;
  for (const word of words) {
    const next = proposed.ids.findIndex((id, index) => id === word && (proposed.behind.length ? proposed.behind[index] : index - 1) === last);
    if (next < 0) break;
    path.push(next);
    last = next;
  }
  return path;
}

const SOURCES = ["", "diffusion", "prompt lookup", "the grammar"];

/** A token's history, in words. */
export function history(one) {
  const lines = [`${JSON.stringify(one.text)}`, `pass ${one.pass} (${one.kind}), slot ${one.slot}`];
  if (one.how === "held") lines.push(`a draft that held${one.source ? `, from ${SOURCES[one.source]}` : ""}`);
  if (one.how === "forced") lines.push("the response format left no choice");
  if (one.how === "fixed") lines.push(`written by diffusion in pass ${one.drafted}`);
  if (one.how === "drawn") lines.push("drawn as autoregression draws it");
  if (one.sure !== null) lines.push(`confidence ${(100 * one.sure).toFixed(1)} %${one.how === "held" && one.drafted !== null ? `, drafted in pass ${one.drafted}` : ""}`);
  if (one.lossy) lines.push("lossy: autoregression draws another token here");
  if (one.rejected.length) lines.push(`rejected here: ${one.rejected.map((text) => JSON.stringify(text)).join(" ")}`);
  return lines.join("\n");
}
