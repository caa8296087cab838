/**
 * JSON as the log keeps it. `JSON.parse` rounds 9007199254740993, turns `1e5` into 100000 and moves members
 * whose names look like numbers to the front; a page that shows evidence may do none of that. Here objects are
 * Maps in their written order, and a number that JavaScript would write differently keeps its token.
 */

/** A number whose token a JavaScript number would not give back. */
export class ExactNumber {
  constructor(readonly token: string) {}
  toString(): string {
    return this.token;
  }
}

export type JsonObject = Map<string, Json>;
export type Json = null | boolean | number | string | ExactNumber | Json[] | JsonObject;

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y; // eslint-disable-line no-control-regex
const ESCAPES: Record<string, string> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

/** Throws SyntaxError where the text is not JSON. */
export function parseJson(text: string): Json {
  const reader = new Reader(text);
  const value = reader.value();
  reader.end();
  return value;
}

class Reader {
  private at = 0;
  constructor(private readonly text: string) {}

  value(): Json {
    this.space();
    const c = this.text[this.at];
    if (c === '{') return this.object();
    if (c === '[') return this.array();
    if (c === '"') return this.string();
    if (c === 't') return this.word('true', true);
    if (c === 'f') return this.word('false', false);
    if (c === 'n') return this.word('null', null);
    return this.number();
  }

  end(): void {
    this.space();
    if (this.at < this.text.length) this.fail();
  }

  private fail(): never {
    throw new SyntaxError(`not JSON at position ${this.at}`);
  }

  private space(): void {
    for (;;) {
      const c = this.text.charCodeAt(this.at);
      if (c !== 32 && c !== 10 && c !== 13 && c !== 9) return;
      this.at++;
    }
  }

  private word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) this.fail();
    this.at += word.length;
    return value;
  }

  private number(): number | ExactNumber {
    NUMBER.lastIndex = this.at;
    const token = NUMBER.exec(this.text)?.[0];
    if (token === undefined) this.fail();
    this.at += token.length;
    const number = Number(token);
    return String(number) === token ? number : new ExactNumber(token);
  }

  private string(): string {
    this.at++;
    let out = '';
    for (;;) {
      PLAIN.lastIndex = this.at;
      const run = PLAIN.exec(this.text)?.[0] ?? '';
      out += run;
      this.at += run.length;
      const c = this.text[this.at++];
      if (c === '"') return out;
      if (c !== '\\') {
        this.at--;
        this.fail();
      }
      const escape = this.text[this.at++] ?? '';
      if (escape === 'u') {
        const hex = this.text.slice(this.at, this.at + 4);
        if (!/^[0-9a-fA-F]{4}$/.test(hex)) this.fail();
        out += String.fromCharCode(parseInt(hex, 16));
        this.at += 4;
      } else {
        const plain = ESCAPES[escape];
        if (plain === undefined) this.fail();
        out += plain;
      }
    }
  }

  private array(): Json[] {
    const out: Json[] = [];
    this.at++;
    this.space();
    if (this.take(']')) return out;
    for (;;) {
      out.push(this.value());
      this.space();
      if (this.take(']')) return out;
      if (!this.take(',')) this.fail();
    }
  }

  private object(): JsonObject {
    const out: JsonObject = new Map();
    this.at++;
    this.space();
    if (this.take('}')) return out;
    for (;;) {
      this.space();
      if (this.text[this.at] !== '"') this.fail();
      const name = this.string();
      this.space();
      if (!this.take(':')) this.fail();
      out.set(name, this.value());
      this.space();
      if (this.take('}')) return out;
      if (!this.take(',')) this.fail();
    }
  }

  private take(c: string): boolean {
    if (this.text[this.at] !== c) return false;
    this.at++;
    return true;
  }
}

/** Two-space pretty print; number tokens and member order are kept. */
export function printJson(value: Json, indent = ''): string {
  const deeper = indent + '  ';
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]';
    return `[\n${value.map((v) => deeper + printJson(v, deeper)).join(',\n')}\n${indent}]`;
  }
  if (value instanceof Map) {
    if (value.size === 0) return '{}';
    const members = [...value].map(
      ([name, v]) => `${deeper}${JSON.stringify(name)}: ${printJson(v, deeper)}`,
    );
    return `{\n${members.join(',\n')}\n${indent}}`;
  }
  if (value instanceof ExactNumber) return value.token;
  return JSON.stringify(value);
}

/** A scalar as a reader sees it in a table cell; objects and arrays in one line. */
export function scalarText(value: Json | undefined): string {
  if (value === undefined) return '';
  if (value === null) return 'null';
  if (Array.isArray(value)) {
    return value.every(isScalar)
      ? value.map(scalarText).join(', ')
      : `[${value.map((v) => (isScalar(v) ? scalarText(v) : '…')).join(', ')}]`;
  }
  const reference = asReference(value);
  if (reference) return `(large value, ${reference.bytes} bytes)`;
  if (value instanceof Map) {
    return `{${[...value].map(([name, v]) => `${name}: ${isScalar(v) ? scalarText(v) : '…'}`).join(', ')}}`;
  }
  return String(value);
}

/** A large value is kept beside the log; in its place stands its salted hash, 64 hexadecimal digits. */
export function asReference(value: Json): { hash: string; bytes: number } | null {
  if (!(value instanceof Map) || value.size !== 2) return null;
  const hash = /^sha256:([0-9a-f]{64})$/.exec(String(value.get('$ref')))?.[1];
  const bytes = value.get('bytes');
  return hash !== undefined && typeof bytes === 'number' ? { hash, bytes } : null;
}

export function isScalar(value: Json): value is null | boolean | number | string | ExactNumber {
  return !Array.isArray(value) && !(value instanceof Map);
}

/** The value at a path such as `event_data.request.status`; through arrays it gives every element's. */
export function lookup(object: JsonObject, path: string): Json | undefined {
  const whole = object.get(path);
  if (whole !== undefined) return whole;
  for (let dot = path.indexOf('.'); dot > 0; dot = path.indexOf('.', dot + 1)) {
    const inner = object.get(path.slice(0, dot));
    if (inner === undefined) continue;
    const rest = path.slice(dot + 1);
    if (inner instanceof Map) return lookup(inner, rest);
    if (Array.isArray(inner)) {
      const found = inner
        .flatMap((v) => (v instanceof Map ? [lookup(v, rest)] : []))
        .filter((v) => v !== undefined);
      return found.length > 1 ? found : found[0];
    }
  }
  return undefined;
}
