/** What the page says of watched databases, and how its list of violations goes on. */
import { legible } from './legible';
import { count } from './numbers';
import { fieldName, quote } from './query';
import { isBytes } from './rowdiff';
import { span } from './time';
import type { Field, Violation, ViolationPage, Wanted, Watch, WatchedTable } from './watch-api';

/** A watch that is further behind is marked. */
export const LATE_MS = 10_000;

export const lagWords = (ms: number) => (ms < 1000 ? `${ms} ms` : span(ms / 1000));

export const passWords = (seconds: number) => (seconds < 1 ? 'less than 1 s' : span(seconds));

const TONES: Record<string, 'warn' | 'bad' | 'muted'> = {
  starting: 'muted',
  baseline: 'muted',
  waiting: 'warn',
  paused: 'warn',
  refused: 'bad',
};

/** How the state of a watch or a table is coloured. */
export const toneOf = (state: string) => TONES[state] ?? '';

/** A reader must see these without asking. */
export const inTrouble = ({ state }: WatchedTable) => state === 'paused' || state === 'refused';

export const valueWords = ({ value, masked }: Field) => (masked ? 'masked' : legible(value ?? 'NULL'));

/** `id=7`; nothing for what is about a whole table. */
export const keyWords = (key: Field[]) =>
  key.map((field) => `${field.column}=${valueWords(field)}`).join(', ');

export const violations = (n: number) => `${count(n)} ${n === 1 ? 'violation' : 'violations'}`;

/** Violations of what is chosen that nobody has signed off. */
export function pendingOf(watches: Watch[], { watch, table }: Wanted): number {
  const of = watches.filter(({ name }) => watch === '' || name === watch);
  if (table === '') return of.reduce((sum, { pending }) => sum + pending, 0);
  const tables = of.flatMap(({ tables }) => tables).filter(({ name }) => name === table);
  return tables.reduce((sum, { pending }) => sum + pending, 0);
}

/** The search for everything that happened to the row that a violation is about, also when it got that key or left it. */
export function rowQuery({ watch, table, key, old, new: now }: Violation): string {
  const values = (row: Field[]) => key.map(({ column }) => row.find((field) => field.column === column));
  const keys = [key, ...[old, now].map((row) => (row ? values(row) : []))]
    .map((fields) => fields.flatMap((field) => (field ? keyTerm(field) : [])))
    .flatMap((terms) => ['key', 'new_key'].map((of) => all(terms.map((term) => `event_data.${of}.${term}`))));
  const either = [...new Set(keys)].filter((terms) => terms !== '').join(' OR ');
  const row = either === '' ? [] : [`(${either})`];
  return [`event_source:${quote(watch)}`, `event_data.table:${quote(table)}`, ...row].join(' ');
}

const all = (terms: string[]) => (terms.length > 1 ? `(${terms.join(' ')})` : terms.join(' '));

/** Nothing for what is masked. */
function keyTerm({ column, value }: Field): string[] {
  if (value === null) return [];
  // Events hold bytes as an object, so that no text is taken for them.
  const [path, text] = isBytes(value) ? ['.hex', value.slice(2)] : ['', value];
  return [`${fieldName(column)}${path}:${quote(text)}`];
}

export interface Merged {
  list: Violation[];
  /** New ones at the top that are not in the list yet. */
  waiting: Violation[];
}

/**
 * The list after its newest part was asked for again. While somebody reads (`hold`) it does not grow at its top; what is older than the answer
 * stays.
 */
export function merge(known: Violation[], page: ViolationPage, hold: boolean): Merged {
  const had = new Set(known.map(({ fingerprint }) => fingerprint));
  const has = new Set(page.violations.map(({ fingerprint }) => fingerprint));
  const newest = known[0]?.opened ?? '';
  const oldest = page.violations.at(-1)?.opened ?? '';
  const isNew = (one: Violation) => newest !== '' && !had.has(one.fingerprint) && one.opened >= newest;
  const older = page.more
    ? known.filter(({ fingerprint, opened }) => opened <= oldest && !has.has(fingerprint))
    : [];
  const waiting = hold ? page.violations.filter(isNew) : [];
  return { list: [...page.violations.filter((one) => !waiting.includes(one)), ...older], waiting };
}
