// Byte fallback: tokens such as `<0xE6>` for bytes of UTF-8.
import type { Stage } from './decode_stage.js';

/**
 * A run of bytes is text if all of them together are UTF-8; else each byte becomes U+FFFD. So bytes are
 * held back until the run ends.
 */
export class ByteFallback implements Stage {
  private utf8 = strictDecoder();
  private text = '';
  private count = 0;
  private isBroken = false;

  push(token: string): string[] {
    const [, digits] = BYTE.exec(token) ?? [];
    if (digits === undefined) return [...this.end(), token];
    this.count++;
    if (this.isBroken) return [BROKEN];
    try {
      const byte = Uint8Array.of(Number.parseInt(digits, 16));
      this.text += this.utf8.decode(byte, STREAM);
      return [];
    } catch {
      this.isBroken = true;
      return this.brokenBytes();
    }
  }

  end(): string[] {
    const { count, isBroken } = this;
    let texts: string[] = [];
    if (count > 0 && !isBroken) {
      try {
        texts = [this.text + this.utf8.decode()];
      } catch {
        texts = this.brokenBytes();
      }
    }
    if (count > 0) this.utf8 = strictDecoder();
    this.text = '';
    this.count = 0;
    this.isBroken = false;
    return texts;
  }

  private brokenBytes(): string[] {
    return new Array<string>(this.count).fill(BROKEN);
  }
}

/** Rust's parser allows a sign before a digit. */
const BYTE = /^<0x([0-9a-f]{2}|\+[0-9a-f])>$/i;
const BROKEN = '\ufffd';
const STREAM = { stream: true };

function strictDecoder() {
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
}
