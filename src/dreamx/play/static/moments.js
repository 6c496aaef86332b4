// Bookmarks: moments that the server keeps, each with a small picture that this page took of it.

import { $, clock, element } from "./dom.js";

const WIDTH = 112; // pixels of the small pictures

export class Moments {
  // goTo(id) goes back to a bookmark.
  constructor(canvas, goTo) {
    this.canvas = canvas;
    this.goTo = goTo;
    this.reset();
  }

  reset() {
    this.list = [];
    this.pictures = new Map(); // id -> data URL, or null where this page did not see it
    this.asked = null; // the picture of the moment that is being kept
    this.#show();
  }

  // To be called when the moment is asked for: the picture is of now.
  take() {
    this.asked = this.picture(WIDTH);
  }

  // What is seen now, so many pixels wide, as a data URL.
  picture(width) {
    const height = Math.round((width * this.canvas.height) / this.canvas.width);
    const small = Object.assign(document.createElement("canvas"), { width, height });
    small.getContext("2d").drawImage(this.canvas, 0, 0, width, height);
    return small.toDataURL("image/jpeg", 0.85);
  }

  // What the server keeps now: [{id, chunk, seconds}], oldest first.
  update(list) {
    const ids = list.map((m) => m.id);
    if (ids.join() === this.list.map((m) => m.id).join()) return;
    for (const id of this.pictures.keys()) if (!ids.includes(id)) this.pictures.delete(id);
    for (const id of ids) {
      if (this.pictures.has(id)) continue;
      this.pictures.set(id, this.asked);
      this.asked = null;
    }
    this.list = list;
    this.#show();
  }

  // For a page that is loaded again.
  get memory() {
    return [...this.pictures];
  }

  remember(pictures) {
    this.reset();
    if (Array.isArray(pictures)) this.pictures = new Map(pictures);
  }

  #show() {
    const cards = this.list.map((moment, i) => {
      const url = this.pictures.get(moment.id);
      const picture = url ? Object.assign(element("img"), { src: url, alt: "" }) : element("span", "blank");
      const card = element("button", "moment", picture, element("b", "", String(i + 1)));
      card.type = "button";
      card.setAttribute("aria-label", `Go back to bookmark ${i + 1}, at ${clock(moment.seconds)}`);
      card.title = `Go back to ${clock(moment.seconds)}${i < 9 ? ` (key ${i + 1})` : ""}`;
      card.onclick = () => {
        card.blur();
        this.goTo(moment.id);
      };
      return card;
    });
    $("moments").replaceChildren(...cards);
    $("moments-none").hidden = cards.length > 0;
    $("moments").hidden = cards.length === 0;
  }
}
