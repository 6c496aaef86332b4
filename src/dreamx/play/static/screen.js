// The picture: frames in as they come, painted one after the other at the pace of the world.

const HEADER = 24; // bytes; play/protocol.py HEADER
const SMOOTH = 256; // pixels: smaller worlds are enlarged to this in good quality, the rest is the browser's scaling

export class Screen {
  // onPaint({frame, chunk, seq, spare}) is called after each painted frame; spare is null except on first frames of chunks.
  constructor(canvas, onPaint) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.onPaint = onPaint;
    this.crisp = false;
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
    this.queue = [];
    this.chunk = -1;
    this.next = 0; // when the head of the queue is due
    this.painted = []; // times, for the frame rate
    this.fresh = true; // the clock stood still: the next chunk's spare time would mean nothing
    const [rows, columns] = size;
    const scale = Math.max(1, Math.ceil(SMOOTH / Math.max(rows, columns)));
    this.canvas.width = columns * scale;
    this.canvas.height = rows * scale;
    this.canvas.style.setProperty("--aspect", `${columns / rows}`);
  }

  // The clock stands still (pause, hidden page), or stood still until now.
  interrupt() {
    this.fresh = true;
  }

  // One binary message of the server.
  push(buffer) {
    const view = new DataView(buffer);
    if (view.getUint8(0) !== 1 || view.getUint8(1) !== 0) throw new Error("The server speaks a newer protocol; reload the page.");
    const entry = {
      frame: view.getUint32(4, true),
      chunk: view.getUint32(8, true),
      seq: view.getUint32(12, true),
      spare: null,
      bitmap: null,
    };
    if (entry.chunk !== this.chunk) {
      if (!this.fresh) entry.spare = this.next + this.queue.length * this.period - performance.now();
      this.fresh = false;
      this.chunk = entry.chunk;
    }
    const queue = this.queue;
    queue.push(entry);
    createImageBitmap(new Blob([new Uint8Array(buffer, HEADER)], { type: "image/jpeg" })).then(
      (bitmap) => (entry.bitmap = bitmap),
      () => queue.splice(queue.indexOf(entry), 1),
    );
  }

  // Painted frames a second over the last two.
  get fps() {
    const now = performance.now();
    this.painted = this.painted.filter((t) => now - t < 2000);
    return this.painted.length < 2 ? 0 : (1000 * (this.painted.length - 1)) / (now - this.painted[0]);
  }

  #tick() {
    const now = performance.now();
    const head = this.queue[0];
    if (!head?.bitmap || now < this.next - 4) return; // 4 ms: rather a little early than a whole screen refresh late
    this.queue.shift();
    this.next = now - this.next > this.period ? now + this.period : this.next + this.period;
    this.context.imageSmoothingEnabled = !this.crisp;
    this.context.imageSmoothingQuality = "high";
    this.context.drawImage(head.bitmap, 0, 0, this.canvas.width, this.canvas.height);
    head.bitmap.close();
    this.painted.push(now);
    this.onPaint(head);
  }
}
