// Small parts of the page: finding and making elements, and short messages.

export const $ = (id) => document.getElementById(id);

export function element(tag, className = "", ...children) {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...children);
  return node;
}

// An icon of the sheet in index.html.
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export const sentence = (text) => text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");

// 67 -> "1:07"
export const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

// Words over the picture, and perhaps a button with what it does; null lifts them.
export function veil(text, offer = null, act = null) {
  $("veil").hidden = text === null;
  $("veil-text").textContent = text ?? "";
  $("veil-button").hidden = offer === null;
  $("veil-button").textContent = offer ?? "";
  $("veil-button").onclick = act;
}

let timer = 0;

// A few words for some seconds. Calm: nothing went wrong.
export function toast(text, { calm = false } = {}) {
  $("toast").textContent = text;
  $("toast").classList.toggle("calm", calm);
  $("toast").hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => ($("toast").hidden = true), calm ? 3500 + 30 * text.length : 7000);
}

// Let the browser save what is at that address of the server (or in that blob) under a name.
export function download(url, name) {
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}
