/**
 * Checks a C2SP tlog-proof in the browser: the entry's bytes are hashed here, the path is walked here, the signature
 * is checked here. It shows that the server's answers agree with its own key; who wants to trust neither this page
 * nor the server runs `attestry verify` with a pin from elsewhere.
 */

export interface Checkpoint {
  origin: string;
  size: number;
  root: Uint8Array;
  /** The signed text, and its signature lines. */
  text: string;
  signatures: { name: string; bytes: Uint8Array }[];
}

export interface Proof {
  index: number;
  hashes: Uint8Array[];
  checkpoint: Checkpoint;
}

export interface Verified {
  index: number;
  size: number;
  origin: string;
  leaf: string;
  root: string;
}

/** Says what does not fit; anything else that is thrown is a fault of the environment. */
export class ProofError extends Error {}

export function parseProof(text: string): Proof {
  const blank = text.indexOf('\n\n');
  if (!text.startsWith('c2sp.org/tlog-proof@v1\n') || blank < 0)
    throw new ProofError('this is not a tlog-proof@v1');
  const lines = text.slice(0, blank).split('\n').slice(1);
  if (lines[0]?.startsWith('extra ')) lines.shift();
  const index = /^index (0|[1-9]\d{0,15})$/.exec(lines.shift() ?? '')?.[1];
  if (index === undefined) throw new ProofError('the proof has no index');
  const hashes = lines.map((line) => {
    const bytes = base64(line);
    if (bytes.length !== 32) throw new ProofError('a hash of the proof does not have 32 bytes');
    return bytes;
  });
  return { index: Number(index), hashes, checkpoint: parseCheckpoint(text.slice(blank + 2)) };
}

export function parseCheckpoint(note: string): Checkpoint {
  const end = note.lastIndexOf('\n\n');
  if (end < 0) throw new ProofError('the checkpoint is not a signed note');
  const text = note.slice(0, end + 1);
  const [origin = '', size = '', root = ''] = text.split('\n');
  if (!/^(0|[1-9]\d{0,15})$/.test(size)) throw new ProofError('the checkpoint has no tree size');
  const signatures = note
    .slice(end + 2)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const match = /^— (\S+) (\S+)$/.exec(line);
      if (!match) throw new ProofError('the checkpoint has a line that is no signature');
      return { name: match[1] ?? '', bytes: base64(match[2] ?? '') };
    });
  return { origin, size: Number(size), root: base64(root), text, signatures };
}

/** Rejects with ProofError where entry, path, root, or signature do not fit together. */
export async function verifyProof(entry: Uint8Array, proof: Proof, vkey: string): Promise<Verified> {
  const leaf = await sha256(Uint8Array.of(0), entry);
  const { checkpoint, index, hashes } = proof;
  const root = await walk(leaf, index, checkpoint.size, hashes);
  if (!equal(root, checkpoint.root)) {
    throw new ProofError('the path from this entry does not lead to the root of the checkpoint');
  }
  await verifyCheckpoint(checkpoint, vkey);
  return { index, size: checkpoint.size, origin: checkpoint.origin, leaf: hex(leaf), root: toBase64(root) };
}

/** RFC 9162, section 2.1.3.2. */
async function walk(
  leaf: Uint8Array,
  index: number,
  size: number,
  hashes: Uint8Array[],
): Promise<Uint8Array> {
  if (index >= size) throw new ProofError('the entry is not below this checkpoint');
  let place = index;
  let last = size - 1;
  let node = leaf;
  for (const hash of hashes) {
    if (last === 0) throw new ProofError('the proof has too many hashes');
    if (place % 2 === 1 || place === last) {
      node = await sha256(Uint8Array.of(1), hash, node);
      while (place % 2 === 0 && place !== 0) {
        place = Math.floor(place / 2);
        last = Math.floor(last / 2);
      }
    } else {
      node = await sha256(Uint8Array.of(1), node, hash);
    }
    place = Math.floor(place / 2);
    last = Math.floor(last / 2);
  }
  if (last !== 0) throw new ProofError('the proof has too few hashes');
  return node;
}

async function verifyCheckpoint(checkpoint: Checkpoint, vkey: string): Promise<void> {
  const match = /^([^\s+]+)\+([0-9a-f]{8})\+(\S+)$/.exec(vkey.trim());
  if (!match) throw new ProofError('the ledger has no verifier key in signed-note form');
  const [, name = '', id = '', encoded = ''] = match;
  const typed = base64(encoded);
  if (typed.length !== 33 || typed[0] !== 1) throw new ProofError('the verifier key is not an Ed25519 key');
  const own = (await sha256(utf8(`${name}\n`), typed)).slice(0, 4);
  if (hex(own) !== id) throw new ProofError('the verifier key does not have the id it claims');
  if (checkpoint.origin !== name) throw new ProofError('the checkpoint is of another log than the key');
  const key = await crypto.subtle.importKey('raw', buffer(typed.slice(1)), { name: 'Ed25519' }, false, [
    'verify',
  ]);
  for (const signature of checkpoint.signatures) {
    if (signature.name !== name || hex(signature.bytes.slice(0, 4)) !== id) continue;
    const signed = buffer(utf8(checkpoint.text));
    if (await crypto.subtle.verify({ name: 'Ed25519' }, key, buffer(signature.bytes.slice(4)), signed))
      return;
    throw new ProofError('the signature of the checkpoint is wrong');
  }
  throw new ProofError('the checkpoint is not signed with this key');
}

/** Browsers give `crypto.subtle` only to pages from https or this machine. */
export function canVerify(): boolean {
  return typeof crypto !== 'undefined' && crypto.subtle !== undefined;
}

async function sha256(...parts: Uint8Array[]): Promise<Uint8Array> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest('SHA-256', whole));
}

const utf8 = (text: string) => new TextEncoder().encode(text);
const buffer = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer;
const equal = (a: Uint8Array, b: Uint8Array) => a.length === b.length && a.every((byte, i) => byte === b[i]);
const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
const toBase64 = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes));

function base64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  } catch {
    throw new ProofError('the proof holds something that is not base64');
  }
}
