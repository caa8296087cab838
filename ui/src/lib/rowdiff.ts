/** Two versions of a row side by side: what differs, and values so that a reader sees every character of them. */
import { signName } from './legible';
import type { Field } from './watch-api';

export type Difference =
  | 'same'
  | 'differs'
  /** Both values are masked: whether they differ is not told here. */
  | 'masked'
  /** There is no other row to compare with. */
  | 'alone';

export interface Line {
  column: string;
  /** Null: there is no row, or it has no such column. */
  before: Field | null;
  after: Field | null;
  difference: Difference;
}

/** Column by column, in the order of the later row. The column that a violation is `about` differs even where both are masked. */
export function compareRows(before: Field[] | null, after: Field[] | null, about?: string): Line[] {
  const earlier = new Map((before ?? []).map((field) => [field.column, field]));
  const columns = [...new Set([...(after ?? []), ...(before ?? [])].map(({ column }) => column))];
  const later = new Map((after ?? []).map((field) => [field.column, field]));
  return columns.map((column) => {
    const [was, is] = [earlier.get(column) ?? null, later.get(column) ?? null];
    const difference = before && after ? differ(was, is, column === about) : 'alone';
    return { column, before: was, after: is, difference };
  });
}

function differ(was: Field | null, is: Field | null, about: boolean): Difference {
  if (was === null || is === null) return 'differs';
  if (was.masked && is.masked) return about ? 'differs' : 'masked';
  // Of a long value only the beginning is there.
  const same = was.value === is.value && was.whole?.sha256 === is.whole?.sha256;
  return was.masked === is.masked && same ? 'same' : 'differs';
}

/** A part of a value: UTF-16 offsets. */
export interface Span {
  start: number;
  end: number;
}

/** What is different in each of two texts that begin and end alike; whole characters, of bytes whole bytes. */
export function changedSpans(a: string, b: string): [Span, Span] {
  const least = Math.min(a.length, b.length);
  let head = 0;
  while (head < least && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < least - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const bytes = isBytes(a) && isBytes(b);
  // `\x` is two characters, as is each byte behind it.
  if (bytes) {
    head = Math.max(2, head - (head % 2));
    tail -= tail % 2;
  } else {
    if (isHigh(a, head - 1)) head--;
    if (isLow(a, a.length - tail)) tail--;
  }
  return [
    { start: Math.min(head, a.length), end: Math.max(head, a.length - tail) },
    { start: Math.min(head, b.length), end: Math.max(head, b.length - tail) },
  ];
}

export const isBytes = (text: string) => /^\\x(?:[0-9a-f]{2})*$/i.test(text);

const isHigh = (text: string, at: number) => (text.charCodeAt(at) & 0xfc00) === 0xd800;
const isLow = (text: string, at: number) => (text.charCodeAt(at) & 0xfc00) === 0xdc00;

export interface Piece {
  text: string;
  /** `blank`: spaces at an edge of the value; `sign`: a character that would not be seen, by its name. */
  kind: 'text' | 'blank' | 'sign';
  /** It is part of what differs. */
  marked: boolean;
}

export interface Shown {
  pieces: Piece[];
  /** Characters left out. */
  before: number;
  after: number;
}

/** So much of a long value is shown, about its difference; less on a phone. */
export const SHOWN_CHARS = 240;
export const SHOWN_NARROW_CHARS = 96;
/** Of these, so many stand before the difference. */
const CONTEXT_CHARS = 40;

// Control and format characters (among them those that turn the direction of text), and every space but the plain one.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]|(?! )\p{Zs}/u;
const NAMES: Record<string, string> = { '\t': '\\t', '\n': '\\n', '\r': '\\r' };

/** A value for the eye, at most `most` characters of it. */
export function show(text: string, mark: Span | null, most: number): Shown {
  let [start, end] = [0, text.length];
  if (text.length > most) {
    start = Math.max(0, Math.min((mark?.start ?? 0) - CONTEXT_CHARS, text.length - most));
    end = start + most;
    if (isLow(text, start)) start++;
    if (isLow(text, end)) end--;
  }
  const lead = text.length - text.trimStart().length;
  const trail = text.trimEnd().length;
  const pieces: Piece[] = [];
  let at = start;
  for (const char of text.slice(start, end)) {
    const marked = mark !== null && at >= mark.start && at < mark.end;
    const edge = char === ' ' && (at < lead || at >= trail);
    const kind = UNSEEN.test(char) ? 'sign' : edge ? 'blank' : 'text';
    const last = pieces[pieces.length - 1];
    if (kind !== 'sign' && last?.kind === kind && last.marked === marked) last.text += char;
    else pieces.push({ text: kind === 'sign' ? nameOf(char) : char, kind, marked });
    at += char.length;
  }
  return { pieces, before: start, after: text.length - end };
}

function nameOf(char: string): string {
  return NAMES[char] ?? signName(char);
}
