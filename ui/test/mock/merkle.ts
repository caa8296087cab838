import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';

/** An RFC 6962 tree over entries kept in memory, with C2SP checkpoints and proofs: enough to test the page's own verifier. */
export class Log {
  private readonly leaves: Buffer[] = [];
  private readonly key: KeyObject;
  private readonly publicKey: Buffer;
  private readonly memo = new Map<string, Buffer>();

  constructor(readonly origin: string) {
    const pair = generateKeyPairSync('ed25519');
    this.key = pair.privateKey;
    this.publicKey = pair.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  }

  get size(): number {
    return this.leaves.length;
  }

  append(entry: string): void {
    this.leaves.push(hash(Buffer.from([0]), Buffer.from(entry)));
  }

  leaf(index: number): string {
    return this.leaves[index]?.toString('hex') ?? '';
  }

  private typedKey(): Buffer {
    return Buffer.concat([Buffer.from([1]), this.publicKey]);
  }

  private keyId(): Buffer {
    return hash(Buffer.from(`${this.origin}\n`), this.typedKey()).subarray(0, 4);
  }

  vkey(): string {
    return `${this.origin}+${this.keyId().toString('hex')}+${this.typedKey().toString('base64')}`;
  }

  root(): Buffer {
    return this.leaves.length === 0 ? hash() : this.subtree(0, this.leaves.length);
  }

  checkpoint(): string {
    const text = `${this.origin}\n${this.size}\n${this.root().toString('base64')}\n`;
    const signature = Buffer.concat([this.keyId(), sign(null, Buffer.from(text), this.key)]);
    return `${text}\n— ${this.origin} ${signature.toString('base64')}\n`;
  }

  proof(index: number): string {
    const hashes = this.path(index, 0, this.size).map((h) => h.toString('base64') + '\n');
    return `c2sp.org/tlog-proof@v1\nindex ${index}\n${hashes.join('')}\n${this.checkpoint()}`;
  }

  private subtree(from: number, to: number): Buffer {
    if (to - from === 1) return this.leaves[from] ?? hash();
    const key = `${from}-${to}`;
    const known = this.memo.get(key);
    if (known) return known;
    const middle = from + split(to - from);
    const root = hash(Buffer.from([1]), this.subtree(from, middle), this.subtree(middle, to));
    this.memo.set(key, root);
    return root;
  }

  private path(index: number, from: number, to: number): Buffer[] {
    if (to - from <= 1) return [];
    const middle = from + split(to - from);
    return index < middle
      ? [...this.path(index, from, middle), this.subtree(middle, to)]
      : [...this.path(index, middle, to), this.subtree(from, middle)];
  }
}

function hash(...parts: Buffer[]): Buffer {
  const sha = createHash('sha256');
  for (const part of parts) sha.update(part);
  return sha.digest();
}

/** The greatest power of two below n. */
function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}
