// The picture: frames in as they come, painted one after the other at the pace of the world. Beside it the truth, where it comes.

import { Video } from "./video.js";

const HEADER = 24; // bytes; play/client_messages.py HEADER
const KIND = { jpeg: 0, delta: 1, key: 2, truth: 3 };
const SMOOTH = 640; // pixels: smaller pictures are enlarged to this in good quality, the rest is the browser's scaling
const GLOW = 4; // frames: so often the light around the picture follows it

export class Screen {
  // painted({frame, chunk, seq, spare}) is called after each painted frame; spare is null except on first frames of chunks.
  // broken(reason) when the browser cannot decode the video after all.
  constructor({ canvas, truth, glow, painted, broken }) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.truth = truth.getContext("2d", { alpha: false });
    this.glow = glow.getContext("2d", { alpha: false });
    this.onPaint = painted;
    this.onBroken = broken;
    this.crisp = false;
    this.video = null;
    this.open([64, 64], 16);
    const tick = () => {
      this.#tick();
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  // A new world of this size (rows, columns) and pace.
  open(size, fps) {
    this.period = 1000 / fps;
    this.video?.close();
    this.video = null;
    this.queue = [];
    this.truths = new Map(); // frame -> bitmap, until that frame is painted
    this.last = -1; // frame painted last
    this.chunk = -1;
    this.since = performance.now();
    this.next = 0; // when the head of the queue is due
    this.painted = []; // times, for the frame rate
    this.count = 0;
    this.fresh = true; // the clock stood still: the next chunk's spare time would mean nothing
    this.kinds = new Set(); // of pictures that came; for tests and the curious
    const [rows, columns] = size;
    const scale = Math.max(1, Math.ceil(SMOOTH / Math.max(rows, columns)));
    for (const { canvas } of [this.context, this.truth]) {
      canvas.width = columns * scale;
      canvas.height = rows * scale;
    }
    document.documentElement.style.setProperty("--aspect", `${columns / rows}`);
    document.documentElement.classList.toggle("wide", columns / rows > 1.3);
  }

  // The clock stands still (pause, hidden page), or stood still until now.
  interrupt() {
    this.fresh = true;
  }

  // One binary message of the server.
  push(buffer) {
    const view = new DataView(buffer);
    const [version, kind] = [view.getUint8(0), view.getUint8(1)];
    if (version !== 1 || kind > KIND.truth) throw new Error("The server speaks a newer protocol; reload the page.");
    const [frame, chunk, seq] = [4, 8, 12].map((at) => view.getUint32(at, true));
    const data = new Uint8Array(buffer, HEADER);
    this.kinds.add(kind);
    if (kind === KIND.truth) return this.#pushTruth(frame, data);
    const entry = { frame, chunk, seq, spare: null, bitmap: null };
    if (kind !== KIND.jpeg && !this.#ofVideo().push(frame, kind === KIND.key, data)) return;
    if (chunk !== this.chunk) {
      if (!this.fresh) entry.spare = this.next + this.queue.length * this.period - performance.now();
      this.fresh = false;
      this.chunk = chunk;
    }
    this.queue.push(entry);
    if (kind === KIND.jpeg) this.#decode(entry, data);
  }

  // Whether it falls behind the world's pace. At the beginning there is too little to tell from.
  get isSlow() {
    return performance.now() - this.since > 4000 && this.fps < 900 / this.period;
  }

  // Painted frames a second over the last two.
  get fps() {
    const now = performance.now();
    this.painted = this.painted.filter((t) => now - t < 2000);
    return this.painted.length < 2 ? 0 : (1000 * (this.painted.length - 1)) / (now - this.painted[0]);
  }

  #ofVideo() {
    const queue = this.queue;
    this.video ??= new Video((frame, bitmap) => {
      const entry = queue.find((x) => x.frame === frame);
      if (entry) entry.bitmap = bitmap;
      else bitmap.close();
    }, this.onBroken);
    return this.video;
  }

  #decode(entry, data) {
    const queue = this.queue;
    createImageBitmap(new Blob([data], { type: "image/jpeg" })).then(
      (bitmap) => (entry.bitmap = bitmap),
      () => queue.splice(queue.indexOf(entry), 1),
    );
  }

  #pushTruth(frame, data) {
    const truths = this.truths;
    createImageBitmap(new Blob([data], { type: "image/jpeg" })).then((bitmap) => {
      truths.set(frame, bitmap);
      if (frame <= this.last && truths === this.truths) this.#paintTruth(frame); // it came after its frame
    }, () => {});
  }

  #tick() {
    const now = performance.now();
    const head = this.queue[0];
    if (!head?.bitmap || now < this.next - 4) return; // 4 ms: rather a little early than a whole screen refresh late
    this.queue.shift();
    this.next = now - this.next > this.period ? now + this.period : this.next + this.period;
    this.#draw(this.context, head.bitmap);
    if (this.count % GLOW === 0) this.glow.drawImage(this.canvas, 0, 0, this.glow.canvas.width, this.glow.canvas.height);
    head.bitmap.close();
    this.last = head.frame;
    this.count += 1;
    this.#paintTruth(head.frame);
    this.painted.push(now);
    this.onPaint(head);
  }

  #paintTruth(frame) {
    const bitmap = this.truths.get(frame);
    if (bitmap) this.#draw(this.truth, bitmap);
    for (const [number, old] of this.truths) {
      if (number > frame) continue;
      old.close();
      this.truths.delete(number);
    }
  }

  #draw(context, bitmap) {
    context.imageSmoothingEnabled = !this.crisp;
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, context.canvas.width, context.canvas.height);
  }
}
