// H.264 through WebCodecs: what the browser can decode, and a decoder that gives one bitmap for every picture.

// Level 3.1 of the baseline profile; the stream itself says what it is exactly, before each key frame (Annex B).
const CONFIG = { codec: "avc1.42E01F", optimizeForLatency: true };

// Whether this browser decodes it. Pages from other machines without https have no WebCodecs.
export async function canDecode() {
  if (!("VideoDecoder" in globalThis)) return false;
  const answer = await VideoDecoder.isConfigSupported(CONFIG).catch(() => null);
  return answer?.supported === true;
}

export class Video {
  // got(frame, bitmap) for each picture, in order; broken(reason) at most once, and then nothing more.
  constructor(got, broken) {
    this.waiting = true; // for a key frame
    this.closed = false;
    this.broken = broken;
    this.decoder = new VideoDecoder({
      output: (picture) => {
        const frame = picture.timestamp;
        // Decoders have few pictures to lend: each is copied, and given back at once.
        createImageBitmap(picture).then((bitmap) => got(frame, bitmap), (e) => this.#fail(e)).finally(() => picture.close());
      },
      error: (e) => this.#fail(e),
    });
    this.decoder.configure(CONFIG);
  }

  // One access unit; its frame number comes back with the bitmap. False: nothing will come of it.
  push(frame, isKey, data) {
    if (this.closed || (this.waiting && !isKey)) return false;
    this.waiting = false;
    try {
      this.decoder.decode(new EncodedVideoChunk({ type: isKey ? "key" : "delta", timestamp: frame, data }));
    } catch (e) {
      this.#fail(e);
    }
    return !this.closed;
  }

  close() {
    this.closed = true;
    if (this.decoder.state !== "closed") this.decoder.close();
  }

  #fail(reason) {
    if (this.closed) return;
    this.close();
    this.broken(String(reason?.message ?? reason));
  }
}
