// What is measured: frames a second, the time a chunk takes, and how long a key takes to be seen, all as this browser has it.

import { $ } from "./dom.js";

const KEPT = 200; // presses

export class Hud {
  constructor() {
    this.reset();
  }

  reset() {
    this.presses = []; // {seq, time} of presses that no painted frame has answered yet
    this.latencies = []; // ms
    for (const id of ["hud-fps", "hud-chunk", "hud-key"]) $(id).textContent = "–";
    $("hud-worst").textContent = "";
  }

  // A key was pressed, and told with that number.
  pressed(seq) {
    this.presses.push({ seq, time: performance.now() });
  }

  // The answer will tell nothing: the world stood still meanwhile.
  forget() {
    this.presses = [];
  }

  // A frame was painted that obeys all that was told up to that number.
  painted(seq) {
    const now = performance.now();
    const answered = this.presses.filter((p) => p.seq <= seq);
    if (answered.length === 0) return;
    this.presses = this.presses.filter((p) => p.seq > seq);
    this.latencies = [...this.latencies, ...answered.map((p) => now - p.time)].slice(-KEPT);
    $("hud-key").textContent = ms(this.latencies.at(-1));
    $("hud-worst").textContent = `95 % under ${ms(this.p95)}`;
  }

  // 95 % of the key presses were answered within so many ms.
  get p95() {
    const sorted = [...this.latencies].sort((a, b) => a - b);
    return sorted[Math.max(0, Math.ceil(0.95 * sorted.length) - 1)];
  }

  made({ dream_ms, show_ms, encode_ms }) {
    $("hud-chunk").textContent = ms(dream_ms + show_ms + encode_ms);
  }

  rate(fps, isSlow) {
    $("hud-fps").textContent = fps.toFixed(1);
    $("hud-fps").classList.toggle("slow", isSlow);
  }
}

const ms = (x) => `${Math.round(x)} ms`;
