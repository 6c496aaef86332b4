// What the player's hands do: keys of the keyboard, the two pads on the screen, and looking about by mouse, finger or stick.

import { $, element } from "./dom.js";

const PADS = {
  walk: [["w", "up", "forward"], ["a", "left", "left"], ["s", "down", "back"], ["d", "right", "right"]],
  look: [["i", "up", "up"], ["j", "left", "left"], ["k", "down", "down"], ["l", "right", "right"]],
};
// By place on the keyboard, so that other layouts have the same hand; arrows walk and turn.
const CODES = {
  KeyW: "w", KeyA: "a", KeyS: "s", KeyD: "d", KeyI: "i", KeyJ: "j", KeyK: "k", KeyL: "l",
  ArrowUp: "w", ArrowDown: "s", ArrowLeft: "j", ArrowRight: "l",
};
const ARROWS = { up: "↑", left: "←", down: "↓", right: "→" };
const PAUSE = 30; // ms between messages while the mouse moves

export class Hands {
  // changed({held, look, turn, pressed}) is called with all there is to say: keys held, degrees of yaw and pitch looked since the
  // call before (null: none), a stick held over (null: not), and whether a key has just been pressed.
  constructor(changed) {
    this.changed = changed;
    this.holders = new Map(); // key -> what holds it: codes of the keyboard, pointers on the pad, the gamepad
    this.looked = [0, 0];
    this.turned = [0, 0];
    this.timer = 0;
    for (const [pad, keys] of Object.entries(PADS)) for (const key of keys) this.#build(pad, ...key);
  }

  get held() {
    return [...this.holders].filter(([, by]) => by.size > 0).map(([key]) => key).join("");
  }

  press(key, by) {
    const set = this.holders.get(key);
    if (set.has(by)) return;
    set.add(by);
    if (set.size === 1) this.tell(true);
  }

  release(key, by) {
    const set = this.holders.get(key);
    if (set.delete(by) && set.size === 0) this.tell(false);
  }

  // Exactly these keys are held by that holder.
  hold(keys, by) {
    for (const key of this.holders.keys()) keys.includes(key) ? this.press(key, by) : this.release(key, by);
  }

  releaseAll() {
    const any = this.held !== "" || this.turned.some(Boolean);
    for (const set of this.holders.values()) set.clear();
    this.turned = [0, 0];
    this.looked = [0, 0];
    if (any) this.tell(false);
  }

  // So many degrees more to the right and up; told soon, several at a time.
  look(yaw, pitch) {
    this.looked[0] += yaw;
    this.looked[1] += pitch;
    this.timer ||= setTimeout(() => this.tell(false), PAUSE);
  }

  // A stick is held over, -1 to 1 to the right and up, until the next call.
  turn(yaw, pitch) {
    if (yaw === this.turned[0] && pitch === this.turned[1]) return;
    this.turned = [yaw, pitch];
    this.tell(false);
  }

  tell(pressed) {
    const held = this.held;
    for (const key of this.holders.keys()) $(`key-${key}`).classList.toggle("held", held.includes(key));
    clearTimeout(this.timer);
    this.timer = 0;
    const look = this.looked.some(Boolean) ? this.looked : null;
    this.looked = [0, 0];
    this.changed({ held, look, turn: this.turned.some(Boolean) ? this.turned : null, pressed });
  }

  // True when the keyboard event is one of walking or looking; then it is dealt with.
  keydown(event) {
    if (!(event.code in CODES)) return false;
    event.preventDefault();
    if (!event.repeat) this.press(CODES[event.code], event.code);
    return true;
  }

  keyup(event) {
    if (event.code in CODES) this.release(CODES[event.code], event.code);
  }

  #build(pad, key, place, word) {
    this.holders.set(key, new Set());
    const [letter, arrow] = [element("b", "", key.toUpperCase()), element("i", "", ARROWS[place])];
    const button = element("button", `key ${place}`, letter, arrow, element("small", "", word));
    button.id = `key-${key}`;
    button.type = "button";
    button.tabIndex = -1; // the keyboard has its own keys
    button.setAttribute("aria-label", `${pad} ${word}`);
    button.onpointerdown = (e) => {
      e.preventDefault();
      button.setPointerCapture(e.pointerId);
      this.press(key, e.pointerId);
    };
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      button.addEventListener(end, (e) => this.release(key, e.pointerId));
    }
    button.oncontextmenu = (e) => e.preventDefault();
    $(pad).append(button);
  }
}
