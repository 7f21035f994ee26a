// Elements from data. All text goes in as text, so that no output can become markup.

export function el(name, attributes = {}, ...children) {
  const made = name === "svg" || name === "rect" || name === "title" ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** Replace what is in an element; null stands for nothing. */
export const fill = (into, ...children) => into.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));

export const mode = (name) => el("span", { class: `mode ${name}` }, name);
export const ms = (value) => (value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`);
export const tag = (text, kind = "") => el("span", { class: `tag ${kind}` }, text);

export async function get(path) {
  const answer = await fetch(`api/${path}`, { headers: { accept: "application/json" } });
  if (answer.status === 401) location.reload();
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.error || `the service answered ${answer.status}`);
  return told;
}
