// What can happen in this place: a button for each event that the world was taught, lit while it is held, and since when it is so.

import { $, clock, element } from "./dom.js";

const PATIENCE = 3000; // ms that an answer may take; then what the server says counts again
const ENDED = 2; // that are still told

export class Happenings {
  // say sends a message to the server.
  constructor(say) {
    this.say = say;
    this.reset([]);
  }

  // A walk begins or goes on where these can happen.
  reset(names) {
    Object.assign(this, { names, held: new Set(), now: [], ended: [], seconds: 0, waiting: null });
    $("happenings").replaceChildren(...names.map((name, i) => this.#chip(name, i)));
    $("happenings").hidden = names.length === 0;
    this.#show();
  }

  toggle(name) {
    if (!this.held.delete(name)) this.held.add(name);
    this.#ask(...this.held);
  }

  // Free words, beside what is held.
  tell(text) {
    this.#ask(...this.held, text);
  }

  // True when Shift and that digit do something here.
  keydown({ shiftKey, code }) {
    const name = shiftKey && /^Digit[1-9]$/.test(code) ? this.names[Number(code.at(-1)) - 1] : undefined;
    if (name !== undefined) this.toggle(name);
    return name !== undefined;
  }

  // Whether these words are names alone, which the buttons show by themselves.
  named(text) {
    return text.split(";").every((part) => this.names.includes(part.trim()));
  }

  // A chunk was made, and these go on with it.
  made({ event, seconds = 0, happenings = [] }) {
    const back = seconds < this.seconds;
    if (back) this.ended = this.ended.filter(({ until }) => until <= seconds);
    else {
      const over = this.now.filter(({ name, since }) => !happenings.some((h) => h.name === name && h.since === since));
      this.ended = [...this.ended, ...over.map(({ name, since }) => ({ name, since, until: seconds }))].slice(-ENDED);
    }
    this.now = happenings;
    this.seconds = seconds;
    const held = happenings.filter(({ phase }) => phase !== "going").map(({ name }) => name);
    if (back || this.#answered(event, held)) this.waiting = null;
    if (!this.waiting) this.held = new Set(held);
    this.#show();
  }

  #answered(event, held) {
    if (!this.waiting) return true;
    const { text, at } = this.waiting;
    return (text ? event === text : held.length === 0) || performance.now() - at > PATIENCE;
  }

  #ask(...parts) {
    const text = parts.join("; ");
    this.waiting = { text, at: performance.now() };
    this.say({ type: "event", text });
    this.#show();
  }

  #chip(name, i) {
    const chip = element("button", "happening", name, element("small"));
    Object.assign(chip, { type: "button", title: i < 9 ? `Shift and ${i + 1}` : "" });
    chip.dataset.name = name;
    chip.onclick = (e) => {
      this.toggle(name);
      if (e.detail > 0) chip.blur(); // what was clicked must not be what Space presses next
    };
    return chip;
  }

  #show() {
    for (const chip of $("happenings").children) {
      const { name } = chip.dataset;
      const phase = this.now.find((h) => h.name === name)?.phase ?? "";
      chip.setAttribute("aria-pressed", this.held.has(name));
      chip.dataset.phase = phase;
      chip.querySelector("small").textContent = { coming: "coming", going: "going" }[phase] ?? "";
    }
    const gone = this.ended.map(({ name, since, until }) => `${name}: ${clock(since)} to ${clock(until)}`);
    const here = this.now.map(({ name, since, phase }) => `${name}: since ${clock(since)}${phase === "going" ? ", going" : ""}`);
    const text = [...gone, ...here].join(" · ");
    if ($("hud-happens").textContent !== text) $("hud-happens").textContent = text;
    $("hud-happened").hidden = text === "";
  }
}
