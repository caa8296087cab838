/** The part of the server's HTTP API about databases that are watched row by row. */
import { getJson, scopeParams, send } from './api';

/** How a watched database is doing. */
export interface Watch {
  name: string;
  engine: string;
  /** Host, port and schema. */
  place: string;
  state: string;
  /** Why it waits or is refused, or what it cannot see. */
  why?: string;
  /** Where it is in the change stream. */
  position?: string;
  /** How far behind the last change was when it was applied. */
  lag_ms?: number;
  last_change: string | null;
  /** When the last comparison of all tables ended. */
  compared_at: string | null;
  /** How long it took. */
  pass_s?: number;
  /** Violations that nobody has signed off. */
  pending: number;
  /** The schema of the watched server that shows the copy. */
  projection?: { schema: string; state: string; why?: string };
  tables: WatchedTable[];
}

export interface WatchedTable {
  name: string;
  state: string;
  why?: string;
  /** What a sign-off needs to resume it. */
  fingerprint?: string;
  rows: number;
  inserts: number;
  updates: number;
  deletes: number;
  pending: number;
}

/** A column's value: text, or bytes in hexadecimal after `\x`. Null is NULL, or a masked value. */
export interface Field {
  column: string;
  value: string | null;
  /** There is a value, and it is not shown. */
  masked?: boolean;
  /** Only its beginning is shown. */
  whole?: { bytes: number; sha256: string };
}

export interface Violation {
  fingerprint: string;
  watch: string;
  table: string;
  /** Absent when it is about the whole row, or the whole table. */
  field?: string;
  /** Empty when it is about the whole table. */
  key: Field[];
  rule: string;
  description: string;
  opened: string;
  last_seen: string;
  count: number;
  /** The event that opened it. */
  event_id?: string;
  account?: string;
  /** Null or absent: there was no row. */
  old?: Field[] | null;
  /** Null or absent: the row is gone. */
  new?: Field[] | null;
  /** Both rows are too large for a list; the violation alone has them. */
  rows_left_out?: boolean;
  signed_off?: { by: string; at: string; reason: string };
}

/** A watch whose copy cannot be read at present. */
export interface Unreadable {
  watch: string;
  why: string;
}

export interface ViolationPage {
  /** The newest first. */
  violations: Violation[];
  more: boolean;
  /** What broke a rule there is missing. */
  unreadable?: Unreadable[];
}

/** What a row was since a time. */
export interface RowVersion {
  version: number;
  /** When it was committed, or found; MariaDB says whole seconds. */
  at: string;
  /** When it was read. */
  seen_at?: string;
  operation: string;
  transaction?: string;
  account?: string;
  /** The change stream did not say it. */
  unexplained?: boolean;
  /** Null: it was deleted. */
  row: Field[] | null;
}

/** The most that one question may ask for, and that one sign-off may name. */
export const VIOLATIONS_MAX = 1000;
export const REASON_CHARS_MAX = 1000;

export const STATES = ['pending', 'signed_off', 'all'] as const;
export type States = (typeof STATES)[number];

export interface Wanted {
  /** Empty: of all. */
  watch: string;
  table: string;
  state: States;
}

const ofViolation = (fingerprint: string) => `/violations/${encodeURIComponent(fingerprint)}`;

export const watchApi = {
  watches: async () => (await getJson<{ watches: Watch[] }>('/databases')).watches,

  /** Those that come `after` a violation of this fingerprint, the newest first. */
  violations: ({ watch, table, state }: Wanted, limit: number, after?: string, signal?: AbortSignal) => {
    const only = { watch: watch || undefined, table: table || undefined };
    const params = scopeParams({ q: '', ledgers: [] }, { ...only, state, limit, after });
    return getJson<ViolationPage>(`/violations?${params}`, signal);
  },

  /** Null when there is none. */
  violation: async (fingerprint: string, signal?: AbortSignal) => {
    const params = new URLSearchParams({ fingerprint, state: 'all' });
    return (await getJson<ViolationPage>(`/violations?${params}`, signal)).violations[0] ?? null;
  },

  /** The newest versions `before` one, and whether there are older ones. */
  history: (fingerprint: string, before?: number, signal?: AbortSignal) => {
    const params = before === undefined ? '' : `?before=${before}`;
    return getJson<{ versions: RowVersion[]; more: boolean }>(
      `${ofViolation(fingerprint)}/history${params}`,
      signal,
    );
  },

  signOff: (fingerprints: string[], reason: string) =>
    send<{ signed_off: number }>('POST', '/violations/sign-off', { fingerprints, reason }),
};
