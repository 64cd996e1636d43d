// Random damage to files, reproducible by seed.

/** Uniform in [0, 1). */
export type Random = () => number;

function pick<T>(values: readonly T[], random: Random): T {
  const value = values[Math.floor(random() * values.length)];
  if (value === undefined) throw new Error('nothing to pick from');
  return value;
}

/** Flips, inserts, removes, repeats and truncates bytes. */
export function mutateBytes(original: Uint8Array, random: Random): Uint8Array {
  let bytes: Uint8Array = Uint8Array.from(original);
  const count = 1 + Math.floor(random() * 6);
  for (let i = 0; i < count; i++) {
    // Headers are at the start, directories at the end.
    const near = pick([64, 512, bytes.length], random);
    const offset = Math.floor(random() * Math.min(near, bytes.length));
    const at = random() < 0.7 ? offset : Math.max(0, bytes.length - 1 - offset);
    const length = Math.floor(random() * 16);
    const damage = Uint8Array.from({ length }, () =>
      pick([0, 1, 127, 128, 255, random() * 256], random),
    );
    switch (Math.floor(random() * 5)) {
      case 0:
        bytes[at] = Math.floor(random() * 256);
        break;
      case 1:
        bytes.set(damage.subarray(0, bytes.length - at), at);
        break;
      case 2:
        bytes = join(bytes.subarray(0, at), damage, bytes.subarray(at));
        break;
      case 3:
        bytes = join(bytes.subarray(0, at), bytes.subarray(at + length));
        break;
      default:
        bytes = random() < 0.3 ? bytes.slice(0, at) : join(bytes, bytes.subarray(at));
    }
  }
  return bytes;
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

const ODD_VALUES: readonly unknown[] = [
  ...[null, true, false, 0, 1, -1, 0.5, 2 ** 31, 2 ** 53, 1e308, -1e308, 1e21],
  ...['', 'x', '0', '__proto__', 'constructor', '\u0000', '\ud800', '(a+)+$'],
  ...[[], {}, [[]], [null], { a: 1 }, [1, 2, 3], 'x'.repeat(1000)],
];

/** Replaces, removes, renames, moves or repeats a few values somewhere in a JSON value. */
export function mutateJson(original: unknown, random: Random): unknown {
  const json: unknown = structuredClone(original);
  const count = 1 + Math.floor(random() * 3);
  let root = json;
  for (let i = 0; i < count; i++) {
    const places = placesOf(root, []);
    if (places.length === 0) return pick(ODD_VALUES, random);
    const { holder, key } = pick(places, random);
    const value = holder[key];
    switch (Math.floor(random() * 6)) {
      case 0:
        delete holder[key];
        break;
      case 1:
        holder[`${key}${pick(['', 'x', '0'], random)}`] = pick(ODD_VALUES, random);
        break;
      case 2:
        if (typeof value === 'number') holder[key] = value * pick([-1, 0.5, 3, 1e6], random);
        else holder[key] = [value, value];
        break;
      case 3: {
        const other = pick(places, random);
        [holder[key], other.holder[other.key]] = [other.holder[other.key], value];
        root = isTree(root) ? root : null;
        break;
      }
      default:
        holder[key] = structuredClone(pick(ODD_VALUES, random));
    }
  }
  return root;
}

type Holder = Record<string, unknown>;

/** Paths of the values. Of large collections (a vocabulary) only some values. */
function placesOf(value: unknown, found: { holder: Holder; key: string }[]) {
  if (typeof value !== 'object' || value === null) return found;
  // Arrays are also accessed by string keys here.
  const holder = value as Holder;
  for (const key of Object.keys(holder).slice(0, 40)) {
    found.push({ holder, key });
    placesOf(holder[key], found);
  }
  return found;
}

/** Swapping a value with one inside it would create a cycle, which a file cannot contain. */
function isTree(value: unknown): boolean {
  try {
    JSON.stringify(value);
    return true;
  } catch {
    return false;
  }
}
